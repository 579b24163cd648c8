package ledger

import (
	"errors"
	"fmt"
	"time"

	"p2ping/node/entry"
)

// limits is what a ledger may keep. Zero is no limit.
type limits struct {
	age     time.Duration
	entries int64
	bytes   int64
}

// exceeded tells whether there is more than may be kept.
func (m limits) exceeded(t totals) bool {
	return m.entries > 0 && t.entries > m.entries || m.bytes > 0 && t.bytes > m.bytes
}

// goal is what to prune to when a limit is exceeded: a thirty-second less, so
// that a full ledger's floor moves in steps and not with each entry.
func (m limits) goal() limits {
	m.entries -= m.entries / 32
	m.bytes -= m.bytes / 32
	return m
}

// ageStep is the step in which the floor rises by age, so that nodes of equal
// retention mostly have equal floors, and so equal digests: an hour for a week.
func ageStep(age time.Duration) time.Duration {
	return min(max(age/168, time.Second), time.Hour).Truncate(time.Millisecond)
}

// ageFloor is the floor in Unix ms by age alone: up to a step below the time
// that was age before now.
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
// deletes what is below. The floor is on disk before anything is deleted.
//
// Number and size never raise the floor above now, even when that leaves more
// than they allow: else whoever floods the topic with entries from the future
// could make every node forget the present.
func (l *Ledger) Prune(now time.Time) error {
	if err := l.raise(now); err != nil {
		return err
	}
	return l.sweep()
}

// raise raises the floor and takes what falls below it out of the totals.
func (l *Ledger) raise(now time.Time) error {
	if t := l.State().Floor; t >= ageFloor(now, l.limits.age) && !l.overLimit() {
		return nil
	}
	// On a full disk, what is in the journal stays there: deleting makes room.
	if err := l.settled(); err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	return l.update(func(s snapshot) ([]Record, error) {
		kept := *s.totals
		goal := limits{}
		if l.limits.exceeded(kept) {
			goal = l.limits.goal()
		}
		floor := max(s.floor, ageFloor(now, l.limits.age))
		s.scan(entry.Key{}, entry.LastKey(), func(key entry.Key, at row) bool {
			if key.Time >= floor {
				if !goal.exceeded(kept) || key.Time >= now.UnixMilli() {
					return false
				}
				floor = key.Time + 1 // what shares a millisecond goes together
			}
			kept.remove(at)
			return true
		})
		if floor == s.floor {
			return nil, errNothing
		}
		kept.floor = floor
		*s.totals = kept
		l.prefixes.invalidate(entry.Key{})
		return nil, nil
	})
}

func (l *Ledger) overLimit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits.exceeded(l.totals)
}

// sweep deletes what is below the floor, in bounded transactions. On a full
// disk it tries smaller ones: even deleting takes new pages, but they free
// more than they take.
func (l *Ledger) sweep() error {
	var last entry.Key
	for step := pruneStep; ; {
		n, first, err := l.sweepStep(step)
		switch {
		case errors.Is(err, ErrFull) && step > 1:
			step /= 10
		case err != nil:
			return err
		case n < step:
			return l.noteFirst()
		case first.Compare(last) <= 0:
			return hinted(fmt.Errorf("%w: its index has rows that cannot be deleted", ErrDamaged))
		default:
			last = first
		}
	}
}

// sweepStep deletes up to limit entries below the floor, and returns how many
// those were, and the first of them.
func (l *Ledger) sweepStep(limit int) (n int, first entry.Key, err error) {
	var keys []entry.Key
	err = l.update(func(s snapshot) ([]Record, error) {
		keys = keys[:0]
		c := s.index.Cursor()
		for k, v := c.First(); k != nil && len(keys) < limit; k, v = c.Next() {
			key, at, err := decodeRow(k, v)
			if err != nil {
				s.suspects.add(k)
				continue
			}
			if key.Time >= s.floor {
				break
			}
			if err := s.delete(s.log, appendCursor(nil, at.cursor)); err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
		if len(keys) == 0 {
			return nil, errNothing
		}
		for _, key := range keys {
			if err := s.delete(s.index, key.Append(nil)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil || len(keys) == 0 {
		return 0, entry.Key{}, err
	}
	return len(keys), keys[0], nil
}

// noteFirst finds the oldest cursor that is kept.
func (l *Ledger) noteFirst() error {
	return l.look(func(s snapshot) error {
		first, err := s.first()
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.first = first
		return nil
	})
}
