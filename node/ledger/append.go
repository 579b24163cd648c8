package ledger

import (
	"context"
	"time"

	"p2ping/node/entry"
)

// Append stores entries and returns the records of those that were new, in
// order. Those that are held already, given twice, or below the floor are
// skipped. It returns when they are on the disk; concurrent callers share
// commits. All entries of one call are stored, or none: [ErrFull] when the disk
// is full, [ErrClosed], or the context's error, if that ended while the call
// waited for its turn.
func (l *Ledger) Append(ctx context.Context, via Via, entries ...*entry.Entry) ([]Record, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	c := &call{via: via, receivedAt: time.Now().UTC().Truncate(time.Microsecond), entries: entries}
	lead, err := l.queue.join(ctx, c)
	if err != nil {
		return nil, err
	}
	if lead {
		batch := l.queue.take()
		l.commit(batch)
		l.queue.finish(batch)
	}
	return c.records, c.err
}

// commit stores what the calls want in one transaction and fills in their
// results.
func (l *Ledger) commit(batch []*call) {
	err := l.update(func(s snapshot) (added []Record, err error) {
		w := newWriter(s, batch)
		for _, c := range batch {
			first := len(added)
			if added, err = w.take(added, c); err != nil {
				return nil, err
			}
			c.records = added[first:len(added):len(added)]
		}
		if len(added) == 0 {
			return nil, errNothing
		}
		l.prefixes.invalidate(w.lowest)
		l.touch(len(w.arena))
		return added, nil
	})
	if err != nil {
		for _, c := range batch {
			c.records, c.err = nil, err
		}
	}
}

// writer stores entries within one transaction.
type writer struct {
	snapshot
	lowest entry.Key // of those stored
	// arena has what is stored, in one piece with room for all: bbolt keeps
	// the values until the commit.
	arena []byte
}

func newWriter(s snapshot, batch []*call) *writer {
	// The log only grows at its end, so its pages are filled; the index mostly
	// does, but an entry may always come late.
	s.log.FillPercent, s.index.FillPercent = 1, 0.9
	size := 0
	for _, c := range batch {
		for _, e := range c.entries {
			size += cursorSize + recordHeader + len(e.Raw) + entry.KeySize + rowSize
		}
	}
	return &writer{snapshot: s, lowest: entry.LastKey(), arena: make([]byte, 0, size)}
}

// take stores those of a call's entries that are new, and appends their records
// to added.
func (w *writer) take(added []Record, c *call) ([]Record, error) {
	for _, e := range c.entries {
		key := e.Key()
		if _, held := w.lookup(key); held || key.Time < w.floor {
			continue
		}
		r := Record{Cursor: w.next, ReceivedAt: c.receivedAt, Via: c.via, Entry: e}
		if err := w.putRecord(key, r); err != nil {
			return nil, err
		}
		added = append(added, r)
	}
	return added, nil
}

// putRecord stores a record under its cursor, which is w.next or higher.
func (w *writer) putRecord(key entry.Key, r Record) error {
	if err := w.put(w.log, w.keep(func(b []byte) []byte { return appendCursor(b, r.Cursor) }),
		w.keep(func(b []byte) []byte { return appendRecord(b, r) })); err != nil {
		return err
	}
	k := w.keep(key.Append)
	if old := w.index.Get(k); old != nil {
		w.forget(old) // damaged, or it would be held
	}
	at := rowOf(r)
	if err := w.put(w.index, k, w.keep(func(b []byte) []byte { return at.append(b, k) })); err != nil {
		return err
	}
	w.add(at)
	w.next = r.Cursor + 1
	w.lowest = lower(w.lowest, key)
	return nil
}

// keep returns what f appends, as a slice of its own within the arena.
func (w *writer) keep(f func([]byte) []byte) []byte {
	start := len(w.arena)
	w.arena = f(w.arena)
	return w.arena[start:len(w.arena):len(w.arena)]
}
