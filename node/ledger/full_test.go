package ledger

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"p2ping/node/entry"
)

func TestIsFull(t *testing.T) {
	for _, err := range []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, berrors.ErrMaxSizeReached,
		&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC},
		errors.New("file resize error: " + syscall.ENOSPC.Error()),
	} {
		if !isFull(err) {
			t.Errorf("%v is none", err)
		}
	}
	for _, err := range []error{syscall.EIO, ErrDamaged, ErrClosed} {
		if isFull(err) {
			t.Errorf("%v is one", err)
		}
	}
}

// full makes bbolt refuse to let the file grow, as a full disk does, until the
// returned function is called.
func full(l *Ledger) (room func()) {
	set := func(size int) {
		l.writing.Lock()
		defer l.writing.Unlock()
		l.db.MaxSize = size
	}
	set(1)
	return func() { set(0) }
}

func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{NoSync: true})
		e := fakes(t, 6000, 1000)
		add(t, l, e[:1000]...)
		full(l)
		stored := 1000
		for i := 1000; i < 5000; i += 100 { // the file's free pages may do for some
			if _, err := l.Append(t.Context(), Own, e[i:i+100]...); err != nil {
				t.Fatal(err)
			}
			stored = i + 100
			if _, _, err := l.Digest(); err != nil { // which moves it into the file, if that takes it
				t.Fatal(err)
			}
			if l.State().Full {
				break
			}
		}
		if !l.State().Full {
			t.Fatal("it never was full")
		}
		check := func() {
			t.Helper()
			sameKeys(t, l, e[:stored])
			readOthers(t, l, e[:stored])
			if got := arrivals(t, l, 1000); len(got) != stored {
				t.Errorf("got %d in order of arrival", len(got))
			}
		}
		check()
		if _, err := l.Append(t.Context(), Own, e[stored:]...); !errors.Is(err, ErrFull) || !errors.Is(l.Writable(), ErrFull) {
			t.Errorf("got %v, %+v", err, l.State())
		}
		check()
		time.Sleep(probeAfter) // then it tries
		if !errors.Is(l.Writable(), ErrFull) {
			t.Error("Writable does not say so after a try")
		}
		// Closed, and opened again: what the file has no room for is not lost.
		l = reopen(t, l, Config{NoSync: true})
		room := full(l)
		check()
		if !errors.Is(l.Writable(), ErrFull) {
			t.Error("Writable does not say so")
		}
		room()
		if !errors.Is(l.Writable(), ErrFull) {
			t.Error("it tries too often")
		}
		time.Sleep(probeAfter)
		if err := l.Writable(); err != nil || l.State().Full {
			t.Errorf("with room again: %v", err)
		}
		add(t, l, e...)
		sameKeys(t, l, e)
		sameKeys(t, reopen(t, l, Config{}), e)
	})
}

// readOthers reads by the ways that sameKeys does not try.
func readOthers(t *testing.T, l *Ledger, held []*entry.Entry) {
	t.Helper()
	if n, err := l.count(entry.Key{}, entry.LastKey()); n != len(held) || err != nil {
		t.Errorf("counted %d of %d, %v", n, len(held), err)
	}
	n := len(held)
	for r, err := range l.RangeDown(entry.Key{}, entry.LastKey()) {
		if n--; err != nil || r.Entry.ID != held[n].ID {
			t.Fatalf("down: entry %d is another, or %v", n, err)
		}
	}
	for _, e := range []*entry.Entry{held[0], held[n/2], held[len(held)-1]} {
		r, err := l.Get(e.Key())
		if err != nil || r.Entry.ID != e.ID || !l.Has(e.Key()) {
			t.Errorf("Get: %v", err)
		}
		if r, err = l.Find(t.Context(), e.ID); err != nil || r.Entry.ID != e.ID {
			t.Errorf("Find: %v", err)
		}
	}
}

// Run finds out by itself that there is room again.
func TestRunNoticesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{NoSync: true})
		e := fakes(t, 3000, 1000)
		room := full(l)
		if _, err := l.Append(t.Context(), Own, e...); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- l.Run(ctx) }()
		time.Sleep(10 * time.Second)
		if !l.State().Full {
			t.Error("there is no room yet")
		}
		room()
		time.Sleep(3 * time.Second)
		if l.State().Full {
			t.Error("it did not notice")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// An error after which nobody knows whether the commit counts leaves the ledger
// with what the file has.
func TestCommitThatFailsLate(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 30, 1000)
	add(t, l, e[:10]...)
	add(t, l, e[10:20]...) // into the journal
	inner := l.change
	l.change = func(f func(*bbolt.Tx) error) error {
		return errors.Join(inner(f), syscall.EIO)
	}
	if err := l.settled(); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), Own, e[20:]...); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	l.change = inner
	sameKeys(t, l, e)
	if got := arrivals(t, l, 100); len(got) != len(e) {
		t.Errorf("got %d in order of arrival", len(got))
	}
	sameKeys(t, reopen(t, l, Config{}), e)
}

// A commit that fails for good leaves all in the journal, and what comes then
// is refused rather than left there.
func TestCommitThatFails(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 30, 1000)
	add(t, l, e[:10]...)
	add(t, l, e[10:20]...)
	inner := l.change
	l.change = func(func(*bbolt.Tx) error) error { return syscall.EIO }
	sameKeys(t, l, e[:20])
	if _, err := l.Append(t.Context(), Own, e[20:]...); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	sameKeys(t, revived(t, l), e[:20])
	l.change = inner
	add(t, l, e...)
	sameKeys(t, l, e)
	if r := add(t, l, fake(t, 1, 1, "into the journal again")); r[0].Cursor != 31 || l.direct {
		t.Errorf("got %+v, %v", r, l.direct)
	}
}

// smallDisk mounts a tmpfs of some size, or skips the test.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, the full disk is not tested: mounting a small tmpfs needs root: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return dir
}

// On a disk that is really full, what was acknowledged is kept, reading goes
// on, deleting makes room, and it recovers when a file goes away: with a journal,
// and where there is no room for one.
func TestFullDisk(t *testing.T) {
	for _, tt := range []fullDisk{
		{size: "3m", ballast: 1 << 20, text: 5, more: 1000},
		{size: "16m", ballast: 4 << 20, text: 2000, more: 500, journal: true},
	} {
		t.Run(tt.size, tt.test)
	}
}

// fullDisk says how large the disk is, how much of it is taken at first, how
// large the texts are that fill it, how many more entries there is room for
// later, at least, and whether there is a journal.
type fullDisk struct {
	size    string
	ballast int
	text    int
	more    int
	journal bool
}

func (tt fullDisk) test(t *testing.T) {
	dir := smallDisk(t, tt.size)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, tt.ballast), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ledger.db")
	l := open(t, Config{Path: path})
	e := make([]*entry.Entry, 30*tt.more)
	for i := range e {
		e[i] = fake(t, uint64(i), 1_000_000+int64(i), strings.Repeat("x", tt.text))
	}
	var held []*entry.Entry
	fill := func(from int) int {
		t.Helper()
		for i := from; ; i += 50 {
			records, err := l.Append(t.Context(), Own, e[i:i+50]...)
			if errors.Is(err, ErrFull) {
				if records != nil {
					t.Error("it gave records with the error")
				}
				return i
			}
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, e[i:i+50]...)
			if i%1000 == 0 {
				_ = l.settled() // as Run does; what it says, Append says
			}
		}
	}
	next := fill(0)
	if (l.journal != nil) != tt.journal {
		t.Errorf("journal: %v", l.journal)
	}
	t.Logf("full after %d", next)
	sameKeys(t, l, held)
	// Singles may still find room; what they say is true.
	for i := next; i < next+100; i++ {
		if _, err := l.Append(t.Context(), Own, e[i]); err == nil {
			held = append(held, e[i])
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	next += 100
	sameKeys(t, l, held)
	l = reopen(t, l, Config{Path: path})
	sameKeys(t, l, held)
	if err := checkConsistency(l); err != nil {
		t.Fatal(err)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	more := fill(next)
	if more < next+tt.more {
		t.Errorf("there was room for only %d entries", more-next)
	}
	sameKeys(t, l, held)

	// Pruning makes room on a full disk.
	l.limits.age = time.Second
	floor := held[len(held)/2].Time / 1000 * 1000
	if err := l.Prune(timeOf(floor + 1000)); err != nil {
		t.Errorf("pruning on a full disk: %v", err)
	}
	held = slices.DeleteFunc(held, func(e *entry.Entry) bool { return e.Time < floor })
	sameKeys(t, l, held)
	if after := fill(more + 200); after < more+tt.more {
		t.Errorf("pruning made room for only %d entries", after-more)
	}
	l = reopen(t, l, Config{Path: path})
	sameKeys(t, l, held)
	if err := checkConsistency(l); err != nil {
		t.Fatal(err)
	}
}

// checkConsistency runs bbolt's own check of the whole file.
func checkConsistency(l *Ledger) error {
	return l.db.View(func(tx *bbolt.Tx) error {
		var all []error
		for err := range tx.Check() {
			// Pages that a failed commit leaves unused until a rebuild.
			if !strings.Contains(err.Error(), "unreachable unfreed") {
				all = append(all, err)
			}
		}
		return errors.Join(all...)
	})
}

// A new ledger on a full disk is an error, and leaves nothing behind.
func TestOpenOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, "64k")
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 56<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: filepath.Join(dir, "ledger.db")}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("got %v, %v", names, err)
	}
}
