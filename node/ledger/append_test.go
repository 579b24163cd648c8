package ledger

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

func TestAppendSkips(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 4, 1000)
	first := add(t, l, e[0], e[1], e[0])
	if len(first) != 2 || first[0].Cursor != 1 || first[1].Cursor != 2 || first[0].Via != Gossip || first[0].Entry != e[0] {
		t.Fatalf("got %+v", first)
	}
	if again := add(t, l, e[0], e[1]); again != nil {
		t.Errorf("held already: got %+v", again)
	}
	third := add(t, l, e[1], e[2])
	if len(third) != 1 || third[0].Entry != e[2] || third[0].Cursor != 3 {
		t.Errorf("got %+v", third)
	}
	sameKeys(t, l, e[:3])
	if !l.Has(e[2].Key()) || l.Has(e[3].Key()) {
		t.Error("Has is wrong")
	}
	if s := l.State(); s.First != 1 || s.Last != 3 {
		t.Errorf("got cursors %d to %d", s.First, s.Last)
	}
	if r, err := l.Append(t.Context(), Own); r != nil || err != nil {
		t.Errorf("nothing: got %v, %v", r, err)
	}
}

func TestAppendSurvivesReopen(t *testing.T) {
	l := open(t, Config{})
	e := fakes(t, 1000, 1000)
	want := add(t, l, e...)
	l = reopen(t, l, Config{})
	sameKeys(t, l, e)
	got := arrivals(t, l, 100)
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i, r := range got {
		if w := want[i]; r.Cursor != w.Cursor || !r.ReceivedAt.Equal(w.ReceivedAt) || r.Via != w.Via || r.Entry.ID != w.Entry.ID {
			t.Fatalf("got %+v, want %+v", r, w)
		}
	}
}

// A cursor is never used twice, also when the newest records are gone.
func TestCursorsAreNeverReused(t *testing.T) {
	l := open(t, Config{})
	e := fakes(t, 10, 1000)
	add(t, l, e...)
	damageRecord(t, l, 10)
	if n, err := l.Scrub(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	l = reopen(t, l, Config{})
	if r := add(t, l, e...); len(r) != 1 || r[0].Cursor != 11 {
		t.Errorf("got %+v", r)
	}
}

// blocked holds the ledger's commits, and, if it has a journal, the writing of
// that, until release is called.
func blocked(l *Ledger) (entered <-chan struct{}, release func()) {
	in, out := make(chan struct{}, 1), make(chan struct{})
	wait := func() {
		nudge(in)
		<-out
	}
	inner := l.change
	l.change = func(f func(*bbolt.Tx) error) error {
		wait()
		return inner(f)
	}
	if l.journal != nil {
		l.journal.file = hookedFile{journalFile: l.journal.file, before: func() error { wait(); return nil }}
	}
	return in, sync.OnceFunc(func() { close(out) })
}

// hookedFile calls before in front of each Sync, which fails when that does.
type hookedFile struct {
	journalFile
	before func() error
}

func (f hookedFile) Sync() error {
	if err := f.before(); err != nil {
		return err
	}
	return f.journalFile.Sync()
}

// both runs a test on a ledger that has no journal, so that its first append
// goes to the bbolt file, and on one that has, with one entry.
func both(t *testing.T, test func(t *testing.T, l *Ledger, held []*entry.Entry)) {
	t.Helper()
	t.Run("first append", func(t *testing.T) { test(t, open(t, Config{NoSync: true}), nil) })
	t.Run("journal", func(t *testing.T) {
		l, e := journalled(t)
		test(t, l, []*entry.Entry{e})
	})
}

// journalled returns a ledger with a journal that is used, and its one entry.
func journalled(t *testing.T) (*Ledger, *entry.Entry) {
	t.Helper()
	l := open(t, Config{NoSync: true})
	e := fake(t, 1<<50, 500, "the first")
	add(t, l, e)
	if l.journal == nil || l.direct {
		t.Fatal("there is no journal to be used")
	}
	return l, e
}

func waitForQueue(l *Ledger, n int) {
	for {
		l.queue.mu.Lock()
		waiting := len(l.queue.waiting)
		l.queue.mu.Unlock()
		if waiting >= n {
			return
		}
	}
}

func TestCallersShareACommit(t *testing.T) {
	both(t, testCallersShareACommit)
}

func testCallersShareACommit(t *testing.T, l *Ledger, held []*entry.Entry) {
	t.Helper()
	count := commits(l)
	entered, release := blocked(l)
	defer release()
	e := fakes(t, 64, 1000)
	var wg sync.WaitGroup
	one := func(i int) {
		// Everybody also brings entry 1: it is stored once.
		if _, err := l.Append(t.Context(), Own, e[i], e[1]); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { one(0) })
	<-entered
	for i := 1; i < len(e); i++ {
		wg.Go(func() { one(i) })
	}
	waitForQueue(l, len(e)-1)
	release()
	wg.Wait()
	if n := count(); n != 2 {
		t.Errorf("64 callers took %d commits, not 2", n)
	}
	sameKeys(t, l, append(held, e...))
}

func TestAppendConcurrently(t *testing.T) {
	l := open(t, Config{NoSync: true})
	count := commits(l)
	const callers, each = 64, 40
	all := fakes(t, callers*each, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	var wg, others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() { l.Run(ctx) })
	others.Go(func() {
		for ctx.Err() == nil { // what is acknowledged is seen by every way of reading
			before := l.State()
			n, err := l.count(entry.Key{}, entry.LastKey())
			_, after, err2 := l.Digest()
			if err != nil || err2 != nil || n < before.Entries || after.Entries < n {
				t.Error(n, before, after, err, err2)
				return
			}
		}
	})
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				e := all[i*each+j]
				r, err := l.Append(t.Context(), Gossip, e, all[j])
				if err != nil || !l.Has(e.Key()) {
					t.Error(r, err)
					return
				}
			}
		})
	}
	wg.Go(func() { // a follower misses nothing
		seen := 0
		for cursor := uint64(0); seen < len(all); {
			changed := l.Changed()
			records, err := l.After(cursor, 100)
			if err != nil {
				t.Error(err)
				return
			}
			for _, r := range records {
				if r.Cursor != cursor+1 {
					t.Errorf("got cursor %d after %d", r.Cursor, cursor)
				}
				cursor = r.Cursor
				seen++
			}
			if len(records) == 0 {
				<-changed
			}
		}
	})
	wg.Wait()
	t.Logf("%d entries in %d commits", len(all), count())
	sameKeys(t, l, all)
}

func TestAppendCanBeCancelledWhileItWaits(t *testing.T) {
	both(t, testAppendCanBeCancelled)
}

func testAppendCanBeCancelled(t *testing.T, l *Ledger, held []*entry.Entry) {
	t.Helper()
	entered, release := blocked(l)
	defer release()
	e := fakes(t, 3, 1000)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := l.Append(t.Context(), Own, e[0]); err != nil {
			t.Error(err)
		}
	})
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		if _, err := l.Append(ctx, Own, e[1]); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	waitForQueue(l, 1)
	wg.Go(func() {
		if _, err := l.Append(t.Context(), Own, e[2]); err != nil {
			t.Error(err)
		}
	})
	waitForQueue(l, 2)
	cancel()
	for len(waiting(l)) != 1 {
	}
	release()
	wg.Wait()
	sameKeys(t, l, append(held, e[0], e[2]))
}

func waiting(l *Ledger) []*call {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return append([]*call(nil), l.queue.waiting...)
}

// A leader that leaves hands on the lead.
func TestQueueLeaderLeaves(t *testing.T) {
	var q queue
	q.init()
	a, b, c := &call{}, &call{}, &call{}
	for _, x := range []*call{a, b, c} {
		if lead, err := q.enter(x); err != nil || lead != (x == a) {
			t.Fatal(lead, err)
		}
	}
	batch := q.take()
	if len(batch) != 3 {
		t.Fatalf("took %d", len(batch))
	}
	d, e := &call{}, &call{}
	for _, x := range []*call{d, e} {
		if lead, err := q.enter(x); err != nil || lead {
			t.Fatal(lead, err)
		}
	}
	if q.leave(a) {
		t.Error("a call left that was taken")
	}
	q.finish(batch)
	<-d.lead
	if !q.leave(d) {
		t.Error("the leader could not leave")
	}
	<-e.lead
	q.finish(q.take())
	if !q.close() || q.close() {
		t.Error("close must tell the first time from others")
	}
	if _, err := q.enter(&call{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestQueueBoundsBatches(t *testing.T) {
	var q queue
	q.init()
	big := &entry.Entry{Raw: make([]byte, maxBatchBytes/2)}
	for range 5 {
		if _, err := q.enter(&call{entries: []*entry.Entry{big}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{2, 2, 1} {
		if batch := q.take(); len(batch) != want {
			t.Errorf("took %d calls, want %d", len(batch), want)
		}
	}
}

func TestClose(t *testing.T) {
	both(t, testClose)
}

func testClose(t *testing.T, l *Ledger, held []*entry.Entry) {
	t.Helper()
	entered, release := blocked(l)
	e := fakes(t, 2, 1000)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := l.Append(t.Context(), Own, e[0]); err != nil {
			t.Error(err)
		}
	})
	<-entered
	wg.Go(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	release()
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Append(t.Context(), Own, e[1]); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: got %v", err)
	}
	if _, err := l.Get(e[0].Key()); !errors.Is(err, ErrClosed) {
		t.Errorf("Get: got %v", err)
	}
	if _, err := l.After(0, 1); err != nil { // from memory
		t.Errorf("After: got %v", err)
	}
	if _, _, err := l.Digest(); !errors.Is(err, ErrClosed) {
		t.Errorf("Digest: got %v", err)
	}
	if err := l.Prune(timeOf(1 << 40)); !errors.Is(err, ErrClosed) {
		t.Errorf("Prune: got %v", err)
	}
	if l.Has(e[0].Key()) {
		t.Error("Has says yes")
	}
	sameKeys(t, open(t, Config{Path: l.path, NoSync: true}), append(held, e[0]))
}
