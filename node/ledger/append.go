package ledger

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/bbolt"

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

// errNothing ends a transaction that turned out to change nothing.
var errNothing = errors.New("nothing to commit")

// commit stores what the calls want in one transaction and fills in their
// results.
func (l *Ledger) commit(batch []*call) {
	l.writing.Lock()
	defer l.writing.Unlock()
	var after totals
	err := l.update(func(tx *bbolt.Tx) error {
		w, err := newWriter(tx)
		if err != nil {
			return err
		}
		for _, c := range batch {
			if c.records, err = w.put(c); err != nil {
				return err
			}
		}
		if !w.changed {
			return errNothing
		}
		after = w.totals
		l.prefixes.invalidate(w.lowest)
		return storeTotals(tx, w.totals)
	})
	l.prefixes.settle()
	switch {
	case errors.Is(err, errNothing):
	case err != nil:
		for _, c := range batch {
			c.records, c.err = nil, err
		}
	default:
		var added []Record
		for _, c := range batch {
			added = append(added, c.records...)
		}
		l.publish(after, added)
	}
}

// writer stores entries within one transaction.
type writer struct {
	log, index *bbolt.Bucket
	totals     totals
	changed    bool
	lowest     entry.Key // of those stored
}

func newWriter(tx *bbolt.Tx) (*writer, error) {
	w := &writer{log: tx.Bucket(logBucket), index: tx.Bucket(indexBucket), lowest: entry.LastKey()}
	// The log only grows at its end, so its pages are filled; the index mostly
	// does, but an entry may always come late.
	w.log.FillPercent, w.index.FillPercent = 1, 0.9
	var err error
	w.totals, err = loadTotals(tx)
	return w, err
}

// put stores those of a call's entries that are new.
func (w *writer) put(c *call) ([]Record, error) {
	var records []Record
	for _, e := range c.entries {
		key := e.Key()
		encoded := key.Append(make([]byte, 0, entry.KeySize))
		if key.Time < w.totals.floor || w.has(encoded) {
			continue
		}
		r := Record{Cursor: w.totals.next, ReceivedAt: c.receivedAt, Via: c.via, Entry: e}
		if err := w.putRecord(encoded, r); err != nil {
			return nil, err
		}
		records = append(records, r)
		w.lowest = lower(w.lowest, key)
	}
	return records, nil
}

func (w *writer) has(key []byte) bool {
	v := w.index.Get(key)
	if v == nil {
		return false
	}
	_, _, err := decodeRow(key, v)
	return err == nil
}

// putRecord stores a record under its own cursor. bbolt keeps the value until
// the commit, so each gets a slice of its own.
func (w *writer) putRecord(key []byte, r Record) error {
	at := row{cursor: r.Cursor, size: uint32(len(r.Entry.Raw)), pings: uint16(len(r.Entry.Pings))}
	b := appendRecord(make([]byte, 0, recordHeader+len(r.Entry.Raw)), r)
	if err := w.log.Put(appendCursor(nil, r.Cursor), b); err != nil {
		return err
	}
	if err := w.index.Put(key, at.append(make([]byte, 0, rowSize), key)); err != nil {
		return err
	}
	w.totals.add(at)
	w.totals.next = max(w.totals.next, r.Cursor+1)
	w.changed = true
	return nil
}

// lower returns the lower of two keys.
func lower(a, b entry.Key) entry.Key {
	if b.Compare(a) < 0 {
		return b
	}
	return a
}
