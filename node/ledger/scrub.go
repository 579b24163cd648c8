package ledger

import (
	"context"
	"errors"
	"time"

	"p2ping/node/entry"
)

// Scrub reads everything that is stored and checks it: each row's record
// against its checksum, its entry's id and the row, and that each record has a
// row. What is damaged is dropped, a record that the index has lost is put
// back, and the totals are counted anew. It returns how many records and rows
// it dropped.
func (l *Ledger) Scrub(ctx context.Context) (dropped int, err error) {
	return l.scrub(ctx, 0)
}

// scrub is Scrub with a pause after each page.
func (l *Ledger) scrub(ctx context.Context, pause time.Duration) (dropped int, err error) {
	for from, more := (entry.Key{}), true; more; {
		p, err := l.page(l.look, from, entry.LastKey(), false)
		if err != nil {
			return dropped, err
		}
		dropped += p.dropped
		from, more = after(p.last), !p.end
		if err := rest(ctx, pause); err != nil {
			return dropped, err
		}
	}
	dropped += l.mend()
	if err := l.settled(); err != nil && !errors.Is(err, ErrFull) {
		return dropped, err
	}
	for cursor, more := uint64(0), true; more; {
		if cursor, more, err = l.scrubLog(cursor); err != nil {
			return dropped, err
		}
		if err := rest(ctx, pause); err != nil {
			return dropped, err
		}
	}
	return dropped, l.recount()
}

// rest waits, and returns the context's error when that has ended.
func rest(ctx context.Context, pause time.Duration) error {
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// scrubLog looks for records without a row in a page of the log, after cursor.
func (l *Ledger) scrubLog(cursor uint64) (last uint64, more bool, err error) {
	var strays []uint64
	records, bytes := 0, 0
	last = cursor
	err = l.look(func(s snapshot) error {
		c := s.log.Cursor()
		for k, v := c.Seek(appendCursor(nil, cursor+1)); k != nil; k, v = c.Next() {
			at, err := decodeCursor(k)
			if err != nil || at <= last {
				continue // out of order: only a rebuild gets rid of that
			}
			if records >= pageRecords || bytes > 0 && bytes+len(v) > pageBytes {
				more = true
				return nil
			}
			last = at
			records++
			bytes += min(len(v), maxRecord)
			if r, err := s.readLogged(at, v); err != nil || r.Entry == nil {
				strays = append(strays, at)
			}
		}
		return nil
	})
	l.touch(bytes)
	if err != nil {
		return last, false, err
	}
	return last, more, l.mendLog(strays)
}

// mendLog puts records that the index has lost back into it, and deletes
// records that nothing points to, and that are damaged or stored again.
func (l *Ledger) mendLog(strays []uint64) error {
	if len(strays) == 0 {
		return nil
	}
	found, gone := 0, 0
	err := l.update(func(s snapshot) ([]Record, error) {
		found, gone = 0, 0
		lowest := entry.LastKey()
		for _, cursor := range strays {
			v := s.log.Get(appendCursor(nil, cursor))
			if v == nil {
				continue
			}
			r, err := decodeRecord(cursor, v)
			if err == nil && r.Entry.Time < s.floor {
				continue // a sweep is under way
			}
			if err == nil {
				key := r.Entry.Key()
				at, held := s.lookup(key)
				if held && at.cursor == cursor {
					continue
				}
				if !held {
					if err := s.reindex(key, rowOf(r)); err != nil {
						return nil, err
					}
					lowest = lower(lowest, key)
					found++
					continue
				}
			}
			if err := s.delete(s.log, appendCursor(nil, cursor)); err != nil {
				return nil, err
			}
			gone++
		}
		if found+gone == 0 {
			return nil, errNothing
		}
		l.prefixes.invalidate(lowest)
		return nil, nil
	})
	if found > 0 && err == nil {
		l.logger.Warn("put records back into the ledger's index", "records", found)
	}
	return err
}

// reindex adds a row, in place of a damaged one if there is one.
func (s snapshot) reindex(key entry.Key, at row) error {
	k := key.Append(nil)
	if old := s.index.Get(k); old != nil {
		s.forget(old)
	}
	s.add(at)
	return s.put(s.index, k, at.append(nil, k))
}

// recount counts the totals anew and corrects them, which only damaged rows
// can have made wrong.
func (l *Ledger) recount() error {
	rows := 0
	err := l.update(func(s snapshot) ([]Record, error) {
		counted := totals{floor: s.floor, next: s.next}
		s.scan(entry.Key{}, entry.LastKey(), func(_ entry.Key, at row) bool {
			counted.add(at)
			rows++
			return true
		})
		if counted == *s.totals {
			return nil, errNothing
		}
		l.logger.Warn("corrected the ledger's totals", "entries", counted.entries, "were", s.entries)
		*s.totals = counted
		return nil, nil
	})
	l.touch(rows * rowOnDisk)
	return err
}
