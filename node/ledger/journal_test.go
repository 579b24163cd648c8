package ledger

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"p2ping/node/entry"
)

// isStored tells whether the bbolt file has an entry.
func isStored(t *testing.T, l *Ledger, e *entry.Entry) (has bool) {
	t.Helper()
	if err := l.look(func(s snapshot) error { _, has = s.lookup(e.Key()); return nil }); err != nil {
		t.Fatal(err)
	}
	return has
}

// What is in the journal only is there by every way of reading, also after the
// process has ended at any moment.
func TestPending(t *testing.T) {
	l, first := journalled(t)
	e := fakes(t, 100, 1000)
	held := []*entry.Entry{first}
	for i, x := range e {
		r := add(t, l, x, first)
		if len(r) != 1 || r[0].Cursor != uint64(i+2) || isStored(t, l, x) {
			t.Fatalf("got %+v, or it is in the file", r)
		}
		held = append(held, x)
		if again := add(t, l, x, x); again != nil {
			t.Fatalf("twice: got %+v", again)
		}
		if got, err := l.Get(x.Key()); err != nil || got.Cursor != r[0].Cursor || got.Entry != x || !l.Has(x.Key()) {
			t.Fatalf("got %+v, %v", got, err)
		}
		if s := l.State(); s.Entries != i+2 || s.Pings != i+2 || s.First != 1 || s.Last != uint64(i+2) {
			t.Fatalf("got %+v", s)
		}
		if i%20 == 0 {
			again := revived(t, l)
			if s := again.State(); s != l.State() {
				t.Errorf("got %+v, want %+v", s, l.State())
			}
			if got := arrivals(t, again, 7); len(got) != i+2 {
				t.Errorf("got %d in order of arrival", len(got))
			}
			if more := add(t, again, e[i+1]); len(more) != 1 || more[0].Cursor != uint64(i+3) {
				t.Errorf("got %+v", more)
			}
			sameKeys(t, again, append(slices.Clone(held), e[i+1]))
		}
	}
	readOthers(t, l, held)
	if !isStored(t, l, e[99]) {
		t.Error("reading did not move it into the file")
	}
	sameKeys(t, l, held)
	sameKeys(t, reopen(t, l, Config{NoSync: true}), held)
}

// Run moves what is in the journal into the file, after a second, or as soon as
// it is much.
func TestRunFolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := journalled(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		e := fakes(t, 2000, 1000)
		add(t, l, e[0])
		time.Sleep(foldAfter - time.Nanosecond)
		synctest.Wait()
		if isStored(t, l, e[0]) {
			t.Error("it was moved at once")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !isStored(t, l, e[0]) {
			t.Error("it was not moved")
		}
		for _, x := range e[1:1500] {
			add(t, l, x)
		}
		synctest.Wait()
		if !isStored(t, l, e[500]) {
			t.Error("much was not moved")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Without Run, a full journal makes room by itself; and entries that are too
// large for it, or too many, go into the file.
func TestJournalLaps(t *testing.T) {
	l, first := journalled(t)
	held := []*entry.Entry{first}
	e := fakes(t, 5000, 1000)
	for part := range slices.Chunk(e[:4000], 2) {
		add(t, l, part...)
	}
	if l.journal.head < journalLap {
		t.Errorf("it went to %d", l.journal.head)
	}
	held = append(held, e[:4000]...)
	sameKeys(t, revived(t, l), held)
	head := l.journal.head
	for i := range 200 {
		big := fake(t, 1<<40+uint64(i), int64(10_000+i), strings.Repeat("x", 4000))
		held = append(held, big)
	}
	many := slices.Concat(held[len(held)-200:], e[4000:])
	add(t, l, many...)
	if l.journal.head == head {
		t.Error("a large batch went past the journal")
	}
	var all []*entry.Entry
	for i := range 300 {
		all = append(all, fake(t, 1<<50+uint64(i), int64(20_000+i), strings.Repeat("x", 4000)))
	}
	head = l.journal.head
	add(t, l, all...)
	if l.journal.head != head || !isStored(t, l, all[0]) {
		t.Error("a batch that is too large went into the journal")
	}
	held = append(append(held, e[4000:]...), all...)
	add(t, l, fake(t, 1, 1, "goes on"))
	held = append(held, fake(t, 1, 1, "goes on"))
	sameKeys(t, revived(t, l), held)
	sameKeys(t, l, held)
}

// When the journal cannot be written to, the file is.
func TestJournalThatFails(t *testing.T) {
	logger, logged := logTo(t)
	l, first := journalled(t)
	l.logger = logger
	e := fakes(t, 4, 1000)
	add(t, l, e[0])
	inner, failing := l.journal.file, true
	l.journal.file = hookedFile{journalFile: inner, before: func() error {
		if failing {
			return syscall.EIO
		}
		return nil
	}}
	if r := add(t, l, e[1]); len(r) != 1 || r[0].Cursor != 3 || !isStored(t, l, e[1]) || !isStored(t, l, e[0]) {
		t.Errorf("got %+v", r)
	}
	sameKeys(t, revived(t, l), []*entry.Entry{first, e[0], e[1]})
	failing = false
	if r := add(t, l, e[2]); len(r) != 1 || r[0].Cursor != 4 || isStored(t, l, e[2]) {
		t.Errorf("got %+v, or it did not try the journal again", r)
	}
	sameKeys(t, revived(t, l), []*entry.Entry{first, e[0], e[1], e[2]})
	if !strings.Contains(logged(), "journal") {
		t.Errorf("not reported: %s", logged())
	}
}

// A frame that is damaged, wherever that is, is reported, and what follows it is
// kept. What is lost can be stored again, and no cursor is given twice.
func TestDamagedJournal(t *testing.T) {
	for _, at := range []int64{0, 5, 12, 20, 25, 100} {
		testDamagedJournal(t, at)
	}
}

func testDamagedJournal(t *testing.T, at int64) {
	t.Helper()
	l, first := journalled(t)
	e := fakes(t, 3, 1000)
	for _, x := range e {
		add(t, l, x)
	}
	for i, want := range [][]*entry.Entry{{first, e[1], e[2]}, {first, e[0], e[2]}, {first, e[0], e[1]}} {
		path := copied(t, l.path)
		damageFile(t, path+journalSuffix, int64(blockSize*(1+i))+at)
		logger, logged := logTo(t)
		again := open(t, Config{Path: path, NoSync: true, Logger: logger})
		if reported := strings.Contains(logged(), "journal is damaged"); reported != (i < 2) || reported != (again.State().Damaged == 1) {
			t.Errorf("frame %d: got %+v: %s", i, again.State(), logged())
		}
		got := arrivals(t, again, 7)
		if len(got) != 3 || got[2].Cursor != slices.Max([]uint64{got[0].Cursor, got[1].Cursor, got[2].Cursor}) {
			t.Errorf("frame %d: got %+v in order of arrival", i, got)
		}
		if r := add(t, again, e...); len(r) != 1 || r[0].Entry != e[i] || r[0].Cursor <= 4 {
			t.Errorf("frame %d: got %+v", i, r)
		}
		if r := add(t, again, fake(t, 7, 7, "goes on")); len(r) != 1 || isStored(t, again, r[0].Entry) {
			t.Errorf("frame %d: got %+v, or the journal is not used", i, r)
		}
		held := append(slices.Clone(want), e[i], fake(t, 7, 7, "goes on"))
		sameKeys(t, revived(t, again), held)
		sameKeys(t, again, held)
	}
}

func damageFile(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// Whatever is beside the bbolt file, the ledger opens with what that has, and
// works; only its own journal is taken for that; and nothing is thrown away.
func TestOddJournals(t *testing.T) {
	l, first := journalled(t)
	e := fakes(t, 3, 1000)
	add(t, l, e[0])
	add(t, l, e[1])
	other, _ := journalled(t)
	add(t, other, fake(t, 99, 99, "of another"))
	foreign, err := os.ReadFile(other.path + journalSuffix)
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(l.path + journalSuffix)
	if err != nil {
		t.Fatal(err)
	}
	unlabelled := slices.Clone(own)
	unlabelled[20]++
	for _, tt := range []struct {
		name  string
		b     []byte
		held  []*entry.Entry
		aside bool
		log   string
	}{
		{"its own", own, []*entry.Entry{first, e[0], e[1]}, false, ""},
		{"its own, longer", append(slices.Clone(own), 1, 2, 3), []*entry.Entry{first, e[0], e[1]}, false, ""},
		{"its own, cut", own[:2*blockSize], []*entry.Entry{first, e[0]}, false, "not end"},
		{"its own, with another label", unlabelled, []*entry.Entry{first, e[0], e[1]}, false, "does not begin"},
		{"none", nil, []*entry.Entry{first}, false, "missing"},
		{"empty", []byte{}, []*entry.Entry{first}, false, "does not begin"},
		{"another's", foreign, []*entry.Entry{first}, true, "another"},
		{"text", []byte("hello"), []*entry.Entry{first}, false, "does not begin"},
		{"zeros", make([]byte, 1<<20), []*entry.Entry{first}, false, "does not begin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := copied(t, l.path)
			if err := os.Remove(path + journalSuffix); err != nil {
				t.Fatal(err)
			}
			if tt.b != nil {
				if err := os.WriteFile(path+journalSuffix, tt.b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			logger, logged := logTo(t)
			got := open(t, Config{Path: path, NoSync: true, Logger: logger})
			sameKeys(t, got, tt.held)
			for _, x := range []*entry.Entry{e[2], fake(t, 7, 7, "goes on"), fake(t, 8, 8, "and on")} {
				if r := add(t, got, x); len(r) != 1 || r[0].Cursor < 4 {
					t.Errorf("got %+v", r)
				}
				tt.held = append(tt.held, x)
			}
			sameKeys(t, revived(t, got), tt.held)
			sameKeys(t, got, tt.held)
			if !strings.Contains(logged(), tt.log) {
				t.Errorf("not reported: %s", logged())
			}
			aside, err := filepath.Glob(path + journalSuffix + ".aside-*")
			if err != nil || (len(aside) == 1) != tt.aside {
				t.Fatalf("got %q, %v", aside, err)
			}
			if tt.aside {
				if b, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(b, tt.b) {
					t.Errorf("it was changed: %v", err)
				}
			}
		})
	}
}

// A bbolt file without the journal's position, as before there was one or after
// a rebuild, takes nothing from a journal beside it.
func TestJournalWithoutPosition(t *testing.T) {
	l, _ := journalled(t)
	e := fakes(t, 3, 1000)
	add(t, l, e[0])
	old := open(t, Config{NoSync: true})
	path := copied(t, old.path)
	b, err := os.ReadFile(l.path + journalSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+journalSuffix, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got := open(t, Config{Path: path, NoSync: true})
	sameKeys(t, got, nil)
	if r := add(t, got, e[1]); r[0].Cursor != 1 {
		t.Errorf("got %+v", r)
	}
	add(t, got, e[2])
	sameKeys(t, revived(t, got), e[1:])
	if aside, err := filepath.Glob(path + journalSuffix + ".aside-*"); err != nil || len(aside) != 1 {
		t.Errorf("got %q, %v", aside, err)
	}
}

// A program that knows of no journal may have used the bbolt file: what was in
// the journal is not lost, and gets new cursors.
func TestFileWentOnWithoutItsJournal(t *testing.T) {
	l, first := journalled(t)
	e := fakes(t, 3, 1000)
	add(t, l, e[0])
	add(t, l, e[1])
	path := copied(t, l.path)
	if err := os.Rename(path+journalSuffix, path+".away"); err != nil {
		t.Fatal(err)
	}
	without := open(t, Config{Path: path, NoSync: true})
	without.retry = time.Now().Add(time.Hour) // it makes none
	without.totals.next = 2                   // and skips no cursor
	if r := add(t, without, e[2], e[1]); len(r) != 2 || r[0].Cursor != 2 {
		t.Fatalf("got %+v", r)
	}
	if err := errors.Join(without.Close(), os.Rename(path+".away", path+journalSuffix)); err != nil {
		t.Fatal(err)
	}
	got := open(t, Config{Path: path, NoSync: true})
	var cursors []uint64
	for _, r := range arrivals(t, got, 10) {
		cursors = append(cursors, r.Cursor)
	}
	if !slices.Equal(cursors, []uint64{1, 2, 3, 4}) {
		t.Errorf("got cursors %d", cursors)
	}
	sameKeys(t, got, append(slices.Clone(e), first))
	add(t, got, fake(t, 7, 7, "goes on"))
	sameKeys(t, revived(t, got), append(slices.Clone(e), first, fake(t, 7, 7, "goes on")))
}

// A rebuild saves what is in the journal only, and keeps both old files.
func TestRebuildWithJournal(t *testing.T) {
	for _, lost := range []bool{false, true} {
		l, first := journalled(t)
		e := fakes(t, 30, 1000)
		for _, x := range e {
			add(t, l, x)
		}
		path := copied(t, l.path)
		held := append(slices.Clone(e), first)
		if lost {
			if err := os.WriteFile(path, []byte("no bbolt file"), 0o600); err != nil {
				t.Fatal(err)
			}
			held = e
		}
		aside, err := Rebuild(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{aside, aside + journalSuffix} {
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
		got := open(t, Config{Path: path, NoSync: true})
		for i, r := range arrivals(t, got, 10)[len(held)-len(e):] {
			if r.Cursor != uint64(i+2) || r.Entry.ID != e[i].ID {
				t.Errorf("record %d is %+v", i, r)
			}
		}
		sameKeys(t, got, held)
		add(t, got, fake(t, 7, 7, "goes on"))
		add(t, got, fake(t, 8, 8, "and on"))
		sameKeys(t, revived(t, got), append(held, fake(t, 7, 7, "goes on"), fake(t, 8, 8, "and on")))
	}
}

// What falls below the floor while it is in the journal is forgotten.
func TestFloorPassesWhatIsPending(t *testing.T) {
	l, _ := journalled(t)
	e := fakes(t, 10, 10_000)
	add(t, l, e...)
	err := l.update(func(s snapshot) ([]Record, error) {
		*s.totals = totals{floor: 10_005, next: s.next}
		l.prefixes.invalidate(entry.Key{})
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := l.State(); s.Floor != 10_005 || s.Entries != 5 || s.Last != 11 {
		t.Errorf("got %+v", s)
	}
	if _, err := l.Get(e[4].Key()); l.Has(e[4].Key()) || !errors.Is(err, ErrNotFound) {
		t.Errorf("what is forgotten is there: %v", err)
	}
	if got := arrivals(t, l, 3); len(got) != 5 {
		t.Errorf("got %d in order of arrival", len(got))
	}
	if again := add(t, l, e...); again != nil {
		t.Errorf("stored again: %+v", again)
	}
	sameKeys(t, revived(t, l), e[5:])
	sameKeys(t, l, e[5:])
	if isStored(t, l, e[4]) {
		t.Error("it is in the file")
	}
}
