package ledger

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// faults makes a ledger's writes fail at random, before they have done anything,
// half way, or when all is done but nobody knows.
type faults struct {
	r    *rand.Rand
	rate float64 // of the writes
	err  error
}

func (f *faults) strike() bool { return f.r.Float64() < f.rate }

// faultyFile is a journal that fails.
type faultyFile struct {
	journalFile
	*faults
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if !f.strike() {
		return f.journalFile.WriteAt(b, at)
	}
	n, _ := f.journalFile.WriteAt(b[:f.r.IntN(len(b)+1)], at)
	return n, f.err
}

func (f faultyFile) Sync() error {
	if f.strike() {
		return f.err
	}
	return f.journalFile.Sync()
}

// inject has the ledger's commits fail, and its journal, if it has one.
func (f *faults) inject(l *Ledger) {
	inner := l.change
	l.change = func(g func(*bbolt.Tx) error) error {
		if f.strike() && f.r.IntN(2) == 0 {
			return f.err
		}
		err := inner(g)
		if err == nil && f.strike() {
			return f.err
		}
		return err
	}
	f.injectJournal(l)
}

func (f *faults) injectJournal(l *Ledger) {
	if l.journal == nil {
		return
	}
	if _, has := l.journal.file.(faultyFile); !has {
		l.journal.file = faultyFile{l.journal.file, f}
	}
}

// faulty is a ledger whose writes fail, and what is known of it.
type faulty struct {
	*faults
	t     *testing.T
	l     *Ledger
	held  map[uint64]*entry.Entry // acknowledged, by cursor
	ends  map[Epoch]uint64        // the last cursor handed out in each epoch
	tried map[entry.ID]bool       // given to an append that failed
	last  uint64                  // the last cursor that was handed out
	seq   uint64
}

// Whichever writes fail, and whenever the process ends between two, what was
// acknowledged is there, once, under the cursor that was handed out, and nothing
// that nobody gave.
func TestFaults(t *testing.T) {
	r := seeded(t)
	for range fromEnv(t, "P2PING_KILLS", 5) {
		f := &faulty{
			t: t, l: open(t, Config{NoSync: true}), held: make(map[uint64]*entry.Entry), ends: make(map[Epoch]uint64), tried: make(map[entry.ID]bool),
			faults: &faults{r: r, rate: []float64{0.02, 0.2, 0.6}[r.IntN(3)], err: []error{syscall.EIO, syscall.ENOSPC}[r.IntN(2)]},
		}
		f.inject(f.l)
		for range 60 {
			f.step()
		}
		f.kill()
		f.rate = 0
		f.l.tried = time.Time{}
		last := f.last
		if f.append(); f.last == last {
			t.Fatal("it does not go on when nothing fails any more")
		}
		f.check(f.l)
		if err := f.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *faulty) step() {
	f.t.Helper()
	switch n := f.r.IntN(20); {
	case n == 0:
		f.kill()
	case n < 3:
		f.l.tried = time.Time{} // as if some time had passed
		_ = f.l.settled()       // what it says, appends say
	case n < 4:
		f.l.tried = time.Time{}
		_ = f.l.Writable()
	case n < 6:
		f.check(f.l)
	case n < 8:
		f.check(revived(f.t, f.l))
	default:
		f.append()
	}
	f.injectJournal(f.l)
}

func (f *faulty) append() {
	f.t.Helper()
	var batch []*entry.Entry
	for range 1 + f.r.IntN(1+f.r.IntN(20)) {
		f.seq++
		batch = append(batch, fake(f.t, f.seq, int64(1000+f.seq), strings.Repeat("x", 1+f.r.IntN(3000))))
	}
	records, err := f.l.Append(f.t.Context(), Own, batch...)
	if err != nil {
		for _, e := range batch {
			f.tried[e.ID] = true
		}
		return
	}
	if len(records) != len(batch) {
		f.t.Fatalf("got %d records of %d", len(records), len(batch))
	}
	for _, r := range records {
		if r.Cursor <= f.last {
			f.t.Fatalf("cursor %d was handed out after %d", r.Cursor, f.last)
		}
		f.held[r.Cursor], f.last = r.Entry, r.Cursor
	}
	f.ends[f.l.State().Epoch] = f.last
}

// kill goes on with the files as they are.
func (f *faulty) kill() {
	f.t.Helper()
	again := revived(f.t, f.l)
	rate := f.rate
	f.rate = 0
	if err := f.l.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.rate, f.l = rate, again
	f.inject(f.l)
}

// check reads a ledger, whose writes do not fail meanwhile.
func (f *faulty) check(l *Ledger) {
	f.t.Helper()
	rate := f.rate
	if f.r.IntN(2) == 0 {
		f.rate = 0
	}
	defer func() { f.rate = rate }()
	if last := l.State().Last; last < f.last {
		f.t.Fatalf("the last cursor is %d, but %d was handed out", last, f.last)
	}
	for epoch, end := range f.ends {
		if last, known := l.Reach(epoch); !known || last < end {
			f.t.Fatalf("cursor %d was handed out in epoch %s, which has %d at most, %t", end, epoch, last, known)
		}
	}
	var all []*entry.Entry
	found := 0
	for _, r := range arrivals(f.t, l, 1+f.r.IntN(300)) {
		all = append(all, r.Entry)
		e, acknowledged := f.held[r.Cursor]
		switch {
		case acknowledged && e.ID != r.Entry.ID:
			f.t.Fatalf("cursor %d was handed out for another entry", r.Cursor)
		case acknowledged:
			found++
		case !f.tried[r.Entry.ID]:
			f.t.Fatalf("there is an entry, %d, that nobody gave, or under another cursor", r.Cursor)
		}
	}
	if found != len(f.held) {
		f.t.Fatalf("%d of %d acknowledged entries are there", found, len(f.held))
	}
	if ids := distinct(all); ids != len(all) {
		f.t.Fatalf("of %d entries only %d are different", len(all), ids)
	}
	if err := l.settled(); err != nil && !errors.Is(err, f.err) && !errors.Is(err, ErrFull) {
		f.t.Fatal(err)
	}
	sameKeys(f.t, l, all)
}

func distinct(all []*entry.Entry) int {
	var ids []string
	for _, e := range all {
		ids = append(ids, e.ID.String())
	}
	slices.Sort(ids)
	return len(slices.Compact(ids))
}
