package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"p2ping/node/entry"
)

func TestRebuildKeepsAll(t *testing.T) {
	for _, n := range []int{0, 1, 3, 3000} {
		l := open(t, Config{NoSync: true})
		e := fakes(t, n, 1000)
		for part := range slices.Chunk(slices.Clone(e), 100) {
			slices.Reverse(part)
			add(t, l, part...)
		}
		want, last, epoch := arrivals(t, l, 1000), l.State().Last, l.State().Epoch
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		aside, err := Rebuild(l.path)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(aside); err != nil || string(kept) != string(before) {
			t.Error("the old file was not kept")
		}
		names, err := os.ReadDir(filepath.Dir(l.path))
		for _, entry := range names {
			if name := filepath.Join(filepath.Dir(l.path), entry.Name()); name != l.path && name != aside && name != aside+journalSuffix {
				t.Errorf("there is %s, too", name)
			}
		}
		if err != nil || len(names) < 2 {
			t.Errorf("there is less than the two: %v, %v", names, err)
		}
		l = open(t, Config{Path: l.path})
		sameKeys(t, l, e)
		got := arrivals(t, l, 1000)
		if len(got) != len(want) {
			t.Fatalf("got %d, want %d", len(got), len(want))
		}
		for i, r := range got {
			if w := want[i]; r.Cursor != w.Cursor || !r.ReceivedAt.Equal(w.ReceivedAt) || r.Via != w.Via || r.Entry.ID != w.Entry.ID {
				t.Fatalf("got %+v, want %+v", r, w)
			}
		}
		if s := l.State(); s.Last <= last || s.Epoch != epoch {
			t.Errorf("the next cursor may have been used: %d after %d, of %s after %s", s.Last, last, s.Epoch, epoch)
		}
		// Again, in the same second.
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Rebuild(l.path)
		if err != nil || again == aside {
			t.Errorf("got %q again, %v", again, err)
		}
		sameKeys(t, open(t, Config{Path: l.path}), e)
	}
}

// Whatever is wrong with a file, a rebuild makes a ledger of it that works, and
// of random damage it saves nearly all.
func TestRebuildOfDamage(t *testing.T) {
	r := seeded(t)
	good := sample(t, 2000)
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	whole := open(t, Config{Path: path})
	held := keysOf(t, whole)
	if err := whole.Close(); err != nil {
		t.Fatal(err)
	}
	e := fakes(t, 5, 6000)
	for _, tt := range []struct {
		name   string
		damage func([]byte) []byte
		saved  int // at least
	}{
		{"no metas", func(b []byte) []byte { clear(b[:2*os.Getpagesize()]); return b }, len(held)},
		{"cut", func(b []byte) []byte { return b[:len(b)-len(b)/4+17] }, len(held) / 3},
		{"garbage", func(b []byte) []byte { clear(b); return b }, 0},
		{"nothing", func([]byte) []byte { return nil }, 0},
		{"a byte in each second page", func(b []byte) []byte {
			for at := 0; at < len(b); at += 2 * os.Getpagesize() {
				b[at+r.IntN(os.Getpagesize())]++
			}
			return b
		}, len(held) * 3 / 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			if err := os.WriteFile(path, tt.damage(slices.Clone(good)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Rebuild(path); err != nil {
				t.Fatal(err)
			}
			l := open(t, Config{Path: path})
			have, saved := keysOf(t, l), 0
			for _, k := range held {
				if slices.Contains(have, k) {
					saved++
				}
			}
			t.Logf("saved %d of %d", saved, len(held))
			if saved < tt.saved {
				t.Errorf("saved %d of %d, want %d", saved, len(held), tt.saved)
			}
			use(t, l, e)
			if s := l.State(); s.Damaged != 0 {
				t.Errorf("it has %d damaged records", s.Damaged)
			}
		})
	}
}

// A file that has become empty, as a full disk or a copy that was broken off leaves
// it, is not begun anew over a journal with entries: a rebuild saves them.
func TestEmptyFileBesideItsJournal(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 5, 1000)
	add(t, l, e[0])     // into the file
	add(t, l, e[1:]...) // into the journal
	path := copied(t, l.path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path + journalSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: path}); !errors.Is(err, ErrDamaged) || !strings.HasSuffix(err.Error(), "its journal has 4 entries; "+rebuildHint) {
		t.Fatalf("got %v", err)
	}
	if after, err := os.ReadFile(path + journalSuffix); err != nil || string(after) != string(before) {
		t.Errorf("the journal has changed: %v", err)
	}
	if _, err := Rebuild(path); err != nil {
		t.Fatal(err)
	}
	again := open(t, Config{Path: path, NoSync: true})
	sameKeys(t, again, e[1:])
	use(t, again, fakes(t, 3, 2000))
}

// Without entries to lose, an empty file is a new ledger.
func TestEmptyFileIsANewLedger(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "made"+journalSuffix)
	j, err := createJournal(empty, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	label, err := os.ReadFile(empty)
	if err != nil {
		t.Fatal(err)
	}
	for name, journal := range map[string][]byte{"none": nil, "no bytes": {}, "without a frame": label, "no journal": []byte("text")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if journal != nil {
				if err := os.WriteFile(path+journalSuffix, journal, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			use(t, open(t, Config{Path: path, NoSync: true}), fakes(t, 3, 1000))
		})
	}
}

// Nobody opens the new ledger before the rebuild is over.
func TestRebuildLocks(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 3, 1000)
	add(t, l, e...)
	path := copied(t, l.path)
	_, made, err := rebuild(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: path}); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, open(t, Config{Path: path}), e)
}

// What a rebuild and the making of a journal have left, when the process was
// killed, goes with the next of each.
func TestLeftoversGo(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 3, 1000)
	add(t, l, e...)
	path := copied(t, l.path)
	for _, name := range []string{path, path + journalSuffix} {
		if err := os.WriteFile(name+".new", []byte("half a file"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Rebuild(path); err != nil {
		t.Fatal(err)
	}
	again := open(t, Config{Path: path})
	more := fakes(t, 4, 2000)
	add(t, again, more...)
	sameKeys(t, again, append(e, more...))
	if left, err := filepath.Glob(path + "*.new*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Who waited for the lock while a rebuild was under way has the old file, which
// is nobody's any more.
func TestLockOfAFileThatWasReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, Config{Path: path, NoSync: true})
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Rebuild(path); err != nil {
		t.Fatal(err)
	}
	if err := lockNamed(f, path); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
}

func TestRebuildFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	if _, err := Rebuild(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

// Two records may claim one cursor, when the first one's commit failed.
func TestRestoreTwoOfOneCursor(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 3, 1000)
	var old strings.Builder
	var records []found
	for i, cursor := range []uint64{5, 5, 6, 6} {
		b := appendRecord(nil, Record{Cursor: cursor, Via: Own, Entry: e[min(i, 2)]})
		records = append(records, found{cursor: cursor, at: int64(old.Len()), size: len(b)})
		old.Write(b)
	}
	if err := l.restore(strings.NewReader(old.String()), records, nil); err != nil {
		t.Fatal(err)
	}
	got := arrivals(t, l, 10)
	if len(got) != 3 || got[0].Cursor != 5 || got[1].Cursor != 6 || got[2].Cursor < cursorJump {
		t.Errorf("got %+v", got)
	}
	sameKeys(t, l, []*entry.Entry{e[0], e[1], e[2]})
}
