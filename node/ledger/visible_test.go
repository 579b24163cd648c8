package ledger

import (
	"errors"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// Readers see what a commit wrote while it still waits for the disk. Nobody was
// told of that yet: it is not given out in order of arrival, where a cursor
// beyond the last is taken for that of another ledger, and not said to be held.
func TestNothingIsGivenOutBeforeItsCommit(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 300, 1000)
	add(t, l, e[:290]...)
	late := e[299].Key()
	l.recent.reset(l.State().Last) // as after a start: what is held is on disk only
	l.setDirect()
	inner := l.change
	looked := false
	l.change = func(f func(*bbolt.Tx) error) error {
		if err := inner(f); err != nil {
			return err
		}
		looked = true
		s := l.State()
		if got := arrivals(t, l, pageRecords); len(got) != 290 || got[289].Cursor > s.Last {
			t.Errorf("got %d up to cursor %d, but the last is %d", len(got), got[len(got)-1].Cursor, s.Last)
		}
		if l.Has(late) {
			t.Error("it is said to be held before it is")
		}
		return nil
	}
	add(t, l, e[290:]...)
	l.change = inner
	if got := arrivals(t, l, pageRecords); !looked || len(got) != 300 || !l.Has(late) {
		t.Errorf("got %d afterwards", len(got))
	}
}

// What a commit wrote that failed in the end is there to be read, but only the
// next commit makes sure of it: who is told that it is held can rely on that.
func TestHeldOnlyByACommitThatFailed(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fake(t, 1, 1000, "hello")
	inner := l.change
	l.change = func(f func(*bbolt.Tx) error) error { return errors.Join(inner(f), syscall.EIO) }
	for range 2 {
		if _, err := l.Append(t.Context(), Import, e); !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v, but nothing is sure to be on the disk", err)
		}
	}
	l.change = inner
	done := commits(l)
	for range 2 {
		if r := add(t, l, e); len(r) != 0 || done() != 1 {
			t.Errorf("got %+v after %d commits", r, done())
		}
	}
	sameKeys(t, l, []*entry.Entry{e})
}
