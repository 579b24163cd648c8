package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// sample makes a ledger's file with everything in it: branches, leaves with
// overflow, a free list, old pages. It returns the file's bytes.
func sample(tb testing.TB, n int) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "sample.db")
	l := open(tb, Config{Path: path, NoSync: true})
	for i := 0; i < n; i += 10 {
		add(tb, l, fakes(tb, 10, int64(1000+i))...)
	}
	add(tb, l, fake(tb, 1<<40, 5000, strings.Repeat("x", 4000)), fake(tb, 1<<41, 5001, strings.Repeat("y", 4000)))
	l.limits.age = time.Second
	if err := l.Prune(timeOf(int64(1000+n/2)/1000*1000 + 1000)); err != nil {
		tb.Fatal(err)
	}
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestOpenRefusesWhatIsNoLedger(t *testing.T) {
	good := sample(t, 2000)
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("others"))
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	zeros := func(from, to int) []byte {
		b := append([]byte(nil), good...)
		clear(b[from:to])
		return b
	}
	random := make([]byte, 100_000)
	for i := range random {
		random[i] = byte(rand.Int())
	}
	for name, content := range map[string][]byte{
		"one byte":             {1},
		"text":                 []byte("hello, this is a text\n"),
		"zeros":                make([]byte, 1<<20),
		"random":               random,
		"cut within a page":    good[:len(good)/2+100],
		"cut after the metas":  good[:8192],
		"cut in the metas":     good[:5000],
		"cut in the first":     good[:70],
		"both metas zero":      zeros(0, 8192),
		"all but the metas":    zeros(8192, len(good)),
		"foreign bbolt file":   other,
		"its start on its end": append(append([]byte(nil), good[len(good)/2:]...), good[:len(good)/2]...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(Config{Path: path})
			if err == nil {
				l.Close()
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "p2ping ledger rebuild") || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != string(content) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenTakes(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	logger, logged := logTo(t)
	open(t, Config{Path: empty, Logger: logger})
	if !strings.Contains(logged(), "empty") {
		t.Error("it was not reported that the file was empty")
	}
	open(t, Config{Path: filepath.Join(dir, "new.db")})
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("there is more than the two: %v", names)
	}
	if info, err := os.Stat(filepath.Join(dir, "new.db")); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "none", "x.db"), ""} {
		if l, err := Open(Config{Path: path}); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("%q: got %v, %v", path, l, err)
		}
	}
}

func TestOpenLocked(t *testing.T) {
	l := open(t, Config{NoSync: true})
	if _, err := Open(Config{Path: l.path}); !errors.Is(err, ErrLocked) {
		t.Errorf("Open: got %v", err)
	}
	if _, err := Rebuild(l.path); !errors.Is(err, ErrLocked) {
		t.Errorf("Rebuild: got %v", err)
	}
}

// One of the two meta pages may be lost, as when the power fails in a commit.
func TestOpenWithOneMetaPage(t *testing.T) {
	good := sample(t, 200)
	for page := range 2 {
		b := append([]byte(nil), good...)
		for i := range 100 {
			b[page*os.Getpagesize()+i] ^= 0xff
		}
		path := filepath.Join(t.TempDir(), "ledger.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		logger, logged := logTo(t)
		l := open(t, Config{Path: path, Logger: logger})
		readRange(t, l, nil)
		if !strings.Contains(logged(), "meta page is damaged") {
			t.Errorf("not reported: %s", logged())
		}
		if _, err := l.Scrub(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is wrong with a file, nothing panics, faults, hangs or eats all
// memory: it is refused, or used as far as it goes.
func TestRandomDamage(t *testing.T) {
	r := seeded(t)
	good := sample(t, 500)
	path := filepath.Join(t.TempDir(), "ledger.db")
	e := fakes(t, 5, 6000)
	refused, used := 0, 0
	try := func(b []byte, what string) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Path: path, NoSync: true})
		if err != nil {
			refused++
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: got %v", what, err)
			}
			return
		}
		used++
		use(t, l, e)
		if err := l.Close(); err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: closing: %v", what, err)
		}
	}
	pages := len(good) / os.Getpagesize()
	for page := range pages {
		// Headers and the elements' first positions are where it hurts most.
		for _, within := range []int{8, 32, 200, os.Getpagesize()} {
			b := append([]byte(nil), good...)
			at := page*os.Getpagesize() + r.IntN(within)
			b[at] ^= byte(1 + r.IntN(255))
			try(b, fmt.Sprintf("byte %d", at))
		}
	}
	for i := range 100 {
		b := append([]byte(nil), good...)
		for range 1 + r.IntN(50) {
			at := r.IntN(pages)*os.Getpagesize() + r.IntN(256)
			b[at] = byte(r.Int())
		}
		try(b, fmt.Sprintf("random %d", i))
	}
	t.Logf("%d pages, %d refused, %d used", pages, refused, used)
	if refused == 0 || used == 0 {
		t.Error("both must happen")
	}
}

// The pages that the check did not get to, for want of time, may have any
// damage: then bbolt meets it, and what it does is caught.
func TestRandomDamageBehindTheCheck(t *testing.T) {
	r := seeded(t)
	good := sample(t, 500)
	m, err := readMeta(bytes.NewReader(good), int64(len(good)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{meta: m, r: bytes.NewReader(good), seen: make([]uint64, m.pages/64+1)}
	if err := c.checkRoot(); err != nil {
		t.Fatal(err)
	}
	e := fakes(t, 5, 6000)
	for range 60 {
		path := filepath.Join(t.TempDir(), "ledger.db")
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Path: path, NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(4) { // leaves' elements, under bbolt's mapping
			leaf := c.leaves[r.IntN(len(c.leaves))].id
			at := int64(leaf)*m.pageSize + pageHeader + int64(r.IntN(64))
			if _, err := f.WriteAt([]byte{byte(r.Int())}, at); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		use(t, l, e)
		l.Close()
	}
}

// A file that is cut while it is open faults where it is read.
func TestFileIsCutWhileOpen(t *testing.T) {
	l := open(t, Config{NoSync: true})
	add(t, l, fakes(t, 2000, 1000)...)
	l = reopen(t, l, Config{NoSync: true})
	if err := os.Truncate(l.path, 64<<10); err != nil {
		t.Fatal(err)
	}
	l.release()
	_, err := l.count(entry.Key{}, entry.LastKey())
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	use(t, l, fakes(t, 5, 9000))
}

// use calls everything. Any error is right that is about damage.
func use(t *testing.T, l *Ledger, e []*entry.Entry) {
	t.Helper()
	check := func(what string, err error) {
		t.Helper()
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	n := 0
	for _, err := range l.Range(entry.Key{}, entry.LastKey()) {
		check("Range", err)
		if n++; n > 10_000 {
			t.Fatal("Range does not end")
		}
	}
	n = 0
	for _, err := range l.RangeDown(entry.Key{}, entry.LastKey()) {
		check("RangeDown", err)
		if n++; n > 10_000 {
			t.Fatal("RangeDown does not end")
		}
	}
	for cursor, n := uint64(0), 0; ; n++ {
		records, err := l.After(cursor, 100)
		check("After", err)
		if len(records) == 0 {
			break
		}
		if cursor = records[len(records)-1].Cursor; n > 10_000 {
			t.Fatal("After does not end")
		}
	}
	_, _, err := l.Digest()
	check("Digest", err)
	_, err = l.Append(t.Context(), Own, e...)
	check("Append", err)
	_, err = l.Find(t.Context(), e[0].ID)
	check("Find", err)
	_, err = l.Scrub(t.Context())
	check("Scrub", err)
	l.limits.age = time.Second
	check("Prune", l.Prune(timeOf(2200)))
	l.State()
}

// Cycles are what no recover helps against: a branch that is its own child.
func TestCycle(t *testing.T) {
	b := sample(t, 500)
	m, err := readMeta(bytes.NewReader(b), int64(len(b)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for page := int64(2); page < int64(m.pages); page++ {
		at := page * m.pageSize
		if binary.NativeEndian.Uint16(b[at+8:]) != branchPage {
			continue
		}
		broken := append([]byte(nil), b...)
		binary.NativeEndian.PutUint64(broken[at+pageHeader+8:], uint64(page))
		if err := checkStructure(bytes.NewReader(broken), int64(len(b)), time.Hour, slog.New(slog.DiscardHandler)); errors.Is(err, ErrDamaged) {
			found++
		}
	}
	if found == 0 {
		t.Error("no cycle was found")
	}
}

// FuzzStructure holds that the check ends, whatever bytes of a ledger's file
// are changed, and so does the search for its records.
func FuzzStructure(f *testing.F) {
	good := sample(f, 100)
	quiet := slog.New(slog.DiscardHandler)
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0x30, 8, 3, 0, 0x30, 10, 0xff})
	f.Fuzz(func(t *testing.T, edits []byte) {
		b := bytes.Clone(good)
		for ; len(edits) >= 4; edits = edits[4:] { // three bytes of offset, one to change
			at := (int(edits[0])<<16 | int(edits[1])<<8 | int(edits[2])) % len(b)
			b[at] ^= edits[3]
		}
		err := checkStructure(bytes.NewReader(b), int64(len(b)), time.Hour, quiet)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("got %v", err)
		}
		records, _ := findRecords(bytes.NewReader(b), int64(len(b)))
		for _, r := range records {
			if r.at < 0 || r.size <= recordHeader || r.at+int64(r.size) > int64(len(b)) {
				t.Errorf("found %+v", r)
			}
		}
	})
}
