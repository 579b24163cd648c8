package ledger

import (
	"p2ping/node/entry"

	"go.etcd.io/bbolt"
)

// damage is a record that failed its check. Its key is the index's; it is zero
// when the record was found in the log.
type damage struct {
	key entry.Key
	at  row
	err error
}

// noticeRow reports an index row that is damaged.
func (l *Ledger) noticeRow(_, _ []byte, err error) {
	l.logger.Warn("an index row of the ledger is damaged", "error", err)
}

// drop removes damaged records that the index knows, so that catch-up fetches
// them again.
func (l *Ledger) drop(found []damage) {
	if len(found) == 0 {
		return
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	var t totals
	err := l.update(func(tx *bbolt.Tx) error {
		var err error
		if t, err = loadTotals(tx); err != nil {
			return err
		}
		lowest := entry.LastKey()
		for _, d := range found {
			key, at, ok := lookup(tx, d.key)
			if !ok || at != d.at {
				continue // somebody else has dropped it
			}
			l.logger.Warn("dropping a damaged record; it will be fetched again from a peer", "key_time", d.key.Time, "entry", d.key.ID.String(), "error", d.err)
			if err := tx.Bucket(indexBucket).Delete(key); err != nil {
				return err
			}
			if err := tx.Bucket(logBucket).Delete(appendCursor(nil, at.cursor)); err != nil {
				return err
			}
			t.remove(at)
			lowest = lower(lowest, d.key)
		}
		l.prefixes.invalidate(lowest)
		return storeTotals(tx, t)
	})
	l.prefixes.settle()
	if err != nil {
		l.logger.Error("dropping damaged records", "error", err)
		return
	}
	l.publish(t, nil)
	l.mu.Lock()
	l.damaged += len(found)
	for _, d := range found {
		l.recent.forget(d.at.cursor)
	}
	l.mu.Unlock()
}

// dropRecords removes damaged records that were found in the log.
func (l *Ledger) dropRecords(found []damage) {
	if len(found) == 0 {
		return
	}
	wanted := make(map[uint64]error, len(found))
	for _, d := range found {
		wanted[d.at.cursor] = d.err
	}
	var known []damage
	err := l.view(func(tx *bbolt.Tx) error {
		return l.scan(tx, entry.Key{}, entry.LastKey(), false, func(key entry.Key, at row) bool {
			if err, ok := wanted[at.cursor]; ok {
				known = append(known, damage{key, at, err})
			}
			return len(known) < len(wanted)
		})
	})
	if err != nil {
		l.logger.Error("looking for the keys of damaged records", "error", err)
	}
	l.drop(known)
}
