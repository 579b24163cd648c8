package ledger

import (
	"time"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// limits is what a ledger may keep. Zero is no limit.
type limits struct {
	age     time.Duration
	entries int
	bytes   int64
}

// exceeded tells whether a prune by number or size is due.
func (m limits) exceeded(t totals) bool {
	return m.entries > 0 && t.entries > int64(m.entries) || m.bytes > 0 && t.bytes > m.bytes
}

// ageStep is the step in which the floor rises by age, so that nodes of equal
// retention mostly have equal floors, and equal digests: an hour in a week.
func ageStep(age time.Duration) time.Duration {
	return min(max(age/168, time.Second), time.Hour).Truncate(time.Millisecond)
}

// ageFloor is the floor in Unix ms by age alone: at most a step below now less
// the age.
func ageFloor(now time.Time, age time.Duration) int64 {
	if age <= 0 {
		return 0
	}
	step := ageStep(age).Milliseconds()
	return max(0, now.Add(-age).UnixMilli()/step*step)
}

// pruneStep bounds what one transaction deletes.
const pruneStep = 1000

// Prune raises the floor to what the limits ask for at the time now, and
// deletes what is below it. The floor is on disk before anything is deleted.
func (l *Ledger) Prune(now time.Time) error {
	if err := l.raise(now); err != nil {
		return err
	}
	return l.sweep()
}

// raise raises the floor and takes what falls below it out of the totals.
func (l *Ledger) raise(now time.Time) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	var t totals
	err := l.update(func(tx *bbolt.Tx) error {
		var err error
		if t, err = loadTotals(tx); err != nil {
			return err
		}
		floor := max(t.floor, ageFloor(now, l.limits.age))
		kept := t
		err = l.scan(tx, floorKey(t.floor), entry.LastKey(), false, func(key entry.Key, at row) bool {
			if key.Time >= floor {
				if !l.limits.exceeded(kept) || key.Time >= now.UnixMilli() {
					return false
				}
				floor = key.Time + 1 // what shares a millisecond goes together
			}
			kept.remove(at)
			return true
		})
		if err != nil {
			return err
		}
		if floor <= t.floor {
			return errNothing
		}
		t = kept
		t.floor = floor
		l.prefixes.invalidate(entry.Key{})
		return storeTotals(tx, t)
	})
	l.prefixes.settle()
	if err == errNothing {
		return nil
	}
	if err != nil {
		return err
	}
	l.publish(t, nil)
	return nil
}

// sweep deletes what is below the floor, in bounded transactions.
func (l *Ledger) sweep() error {
	for {
		n, err := l.sweepStep(pruneStep)
		if err != nil || n == 0 {
			return err
		}
	}
}

func (l *Ledger) sweepStep(limit int) (n int, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	err = l.update(func(tx *bbolt.Tx) error {
		index, log := tx.Bucket(indexBucket), tx.Bucket(logBucket)
		floor := l.floor.Load()
		var keys [][]byte
		c := index.Cursor()
		for k, v := c.First(); k != nil && len(keys) < limit; k, v = c.Next() {
			key, at, err := decodeRow(k, v)
			if err == nil {
				if key.Time >= floor {
					break
				}
				if err := log.Delete(appendCursor(nil, at.cursor)); err != nil {
					return err
				}
			}
			keys = append(keys, append([]byte(nil), k...))
		}
		for _, k := range keys {
			if err := index.Delete(k); err != nil {
				return err
			}
		}
		n = len(keys)
		if n == 0 {
			return errNothing
		}
		return nil
	})
	if err == errNothing {
		err = nil
	}
	return n, err
}
