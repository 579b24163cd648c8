package ledger

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

// The pace at which what is in the journal goes into the bbolt file.
const (
	// foldAfter is how long an entry stays in the journal alone. Longer would
	// save a node with little to do some commits, and have one that was killed
	// read more at its start.
	foldAfter = time.Second
	// foldAt is how much of the journal is in use when that is not waited for:
	// so much that a transaction has hundreds of entries, and so little that
	// the rest lasts until it is done.
	foldAt = journalLap / 2
)

// settled returns when the bbolt file has all that was appended before. It fails
// with [ErrFull] without a try when one has just failed.
func (l *Ledger) settled() error {
	l.mu.Lock()
	last, stored := l.recent.last(), l.recent.stored
	hopeless := l.full && time.Since(l.tried) < probeAfter
	l.mu.Unlock()
	switch {
	case last <= stored:
		return nil
	case hopeless:
		return ErrFull
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	done := last <= l.recent.stored
	l.mu.Unlock()
	if done {
		return nil
	}
	return l.fold(func(*writer) ([]Record, error) { return nil, nil })
}

// fold takes what is pending into the bbolt file, and what more stores, in one
// transaction. The caller holds l.writing.
func (l *Ledger) fold(more func(*writer) (added []Record, err error)) error {
	changed, stored := false, 0
	err := l.write(func(s snapshot) ([]Record, error) {
		w := newWriter(s)
		p := l.pending()
		if err := w.putPending(p); err != nil {
			return nil, err
		}
		first := w.next
		added, err := more(w)
		if err != nil {
			return nil, err
		}
		if len(added) > 0 {
			if err := w.begin(l.epoch, first); err != nil {
				return nil, err
			}
		}
		if changed = len(p.records)+len(added) > 0 || p.unsure; !changed {
			return nil, errNothing
		}
		l.prefixes.invalidate(w.lowest)
		stored = w.stored
		return added, w.mark(p)
	})
	l.touch(stored)
	if err == nil && changed {
		l.mu.Lock()
		l.direct = false
		l.mu.Unlock()
	}
	return err
}

// pending is what a transaction takes up: the records that are in the journal
// only, and where the journal goes on after them.
type pending struct {
	records []Record
	next    uint64 // no record has this cursor or a higher one
	unsure  bool   // only a commit makes sure of what the file has
	journal *position
}

func (l *Ledger) pending() pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := pending{records: l.recent.pending(), next: l.totals.next, unsure: l.unsure}
	if l.journal != nil {
		p.journal = &position{secret: l.journal.secret, place: l.journal.head}
	}
	return p
}

// putPending stores what is pending, but for what is below the floor by now.
func (w *writer) putPending(p pending) error {
	for _, r := range p.records {
		key := r.Entry.Key()
		if key.Time < w.floor {
			continue
		}
		// A scrub may have found it in the log meanwhile, where the index had
		// lost it: its cursor is the one that it was acknowledged with.
		if at, held := w.lookup(key); held {
			if err := w.delete(w.log, appendCursor(nil, at.cursor)); err != nil {
				return err
			}
		}
		if err := w.putRecord(key, r); err != nil {
			return err
		}
	}
	w.next = max(w.next, p.next)
	return nil
}

// mark stores where the journal goes on.
func (w *writer) mark(p pending) error {
	if p.journal == nil {
		return nil
	}
	p.journal.cursor = w.next
	return w.put(w.meta, []byte(journalKey), p.journal.encode())
}

// view runs f on the ledger with all that was appended before. While there is
// no room to store that in the bbolt file, f sees a transaction that has it and
// is not committed.
func (l *Ledger) view(f func(snapshot) error) error {
	switch err := l.settled(); {
	case err == nil:
		return l.look(f)
	case errors.Is(err, ErrClosed), errors.Is(err, ErrDamaged):
		return err
	}
	return l.lookAhead(f)
}

func (l *Ledger) lookAhead(f func(snapshot) error) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.inTx(true, func(tx *bbolt.Tx) error {
		s, err := l.snapshot(tx)
		if err != nil {
			return err
		}
		s.sound, s.ahead = l.newSound(tx), true
		w := newWriter(s)
		if err := w.putPending(l.pending()); err != nil {
			return err
		}
		if err := f(w.snapshot); err != nil {
			return err
		}
		return errNothing
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// foldNowAndThen folds what has been pending for a while, or is much, until the
// context ends.
func (l *Ledger) foldNowAndThen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.held:
		}
		timer := time.NewTimer(foldAfter)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.crowded:
			timer.Stop()
		case <-timer.C:
		}
		if err := l.settled(); err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrClosed) {
			l.logger.Error("storing what is in the ledger's journal", "error", err)
		}
	}
}

// nudge puts a token into a channel that holds one. It never blocks.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
