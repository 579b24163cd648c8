package ledger

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"p2ping/node/entry"
)

// While entries go into the journal and from there into the bbolt file, whoever
// follows sees each once and in order, whoever looks for one that was
// acknowledged finds it, and what is counted is what is fingerprinted.
func TestReadersMeetFolds(t *testing.T) {
	l, _ := journalled(t)
	const writers, each = 3, 400
	var acknowledged sync.Map // entry.Key to cursor
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				e := fake(t, uint64(w*each+i), int64(1000+i), "hello")
				r, err := l.Append(t.Context(), Own, e)
				if err != nil || len(r) != 1 {
					t.Errorf("got %+v, %v", r, err)
					return
				}
				acknowledged.Store(e.Key(), r[0].Cursor)
				if got, err := l.Get(e.Key()); err != nil || got.Cursor != r[0].Cursor || !l.Has(e.Key()) {
					t.Errorf("what was just acknowledged is not there: %v", err)
				}
			}
		})
	}
	reading.Go(func() {
		for !done.Load() {
			if err := l.settled(); err != nil {
				t.Error(err)
			}
		}
	})
	for _, limit := range []int{1, 100} {
		reading.Go(func() {
			for cursor := uint64(1); cursor < writers*each+1; {
				changed := l.Changed()
				records, err := l.After(cursor, limit)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range records {
					if cursor++; r.Cursor != cursor {
						t.Errorf("cursor %d comes after %d", r.Cursor, cursor-1)
						return
					}
				}
				if len(records) == 0 {
					<-changed
				}
			}
		})
	}
	reading.Go(func() {
		for !done.Load() {
			readerMeetsFolds(t, l, &acknowledged)
		}
	})
	writing.Wait()
	done.Store(true)
	reading.Wait()
	if s := l.State(); s.Entries != writers*each+1 {
		t.Errorf("got %+v", s)
	}
}

func readerMeetsFolds(t *testing.T, l *Ledger, acknowledged *sync.Map) {
	t.Helper()
	var before []entry.Key
	acknowledged.Range(func(k, _ any) bool { before = append(before, k.(entry.Key)); return true })
	seen := make(map[entry.Key]int)
	var keys []entry.Key
	for r, err := range l.Range(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Error(err)
			return
		}
		keys = append(keys, r.Entry.Key())
		seen[r.Entry.Key()]++
	}
	if !slices.IsSortedFunc(keys, entry.Key.Compare) || len(seen) != len(keys) {
		t.Errorf("the range has %d entries, %d different", len(keys), len(seen))
	}
	for _, k := range before {
		if seen[k] == 0 {
			t.Error("the range lacks what was acknowledged before")
			return
		}
	}
	d, s, err := l.Digest()
	if err != nil || s.Entries < len(keys) {
		t.Errorf("the digest is of %d entries, after %d: %v", s.Entries, len(keys), err)
	}
	if again, n, err := l.Fingerprint(entry.Key{}, entry.LastKey()); err != nil || n < s.Entries || n == s.Entries && again != d {
		t.Errorf("the fingerprint is of %d entries, after %d: %v", n, s.Entries, err)
	}
}
