package ledger

import (
	"context"
	"iter"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// Bounds of one page: what a reading method takes within one transaction.
const (
	pageRecords = 256
	pageBytes   = 1 << 20 // of entries; a page has always one, if there is one
	pageKeys    = 1024
)

// Has reports whether the ledger holds the entry. It is cheap enough for a
// validator: a lookup of a few microseconds that waits for no disk.
func (l *Ledger) Has(key entry.Key) bool {
	if key.Time < l.floor.Load() {
		return false
	}
	l.mu.Lock()
	_, has := l.recent.keys[key]
	next := l.totals.next
	l.mu.Unlock()
	if has {
		return true
	}
	err := l.inTx(false, func(tx *bbolt.Tx) error {
		at, stored := snapshot{index: tx.Bucket([]byte(indexBucket))}.lookup(key)
		has = stored && at.cursor < next // else its commit still waits for the disk
		return nil
	})
	return err == nil && has
}

// Get returns the record of an entry, or [ErrNotFound]: also when it turns out
// to be damaged.
func (l *Ledger) Get(key entry.Key) (Record, error) {
	// What is pending first: what is folded meanwhile, the file has.
	l.mu.Lock()
	r, pending := l.recent.get(key)
	l.mu.Unlock()
	if pending && key.Time >= l.floor.Load() {
		return r, nil
	}
	p, err := l.page(l.look, key, after(key), false)
	switch {
	case err != nil:
		return Record{}, err
	case len(p.records) == 0:
		return Record{}, ErrNotFound
	}
	return p.records[0], nil
}

// Find returns the record of the entry with the given id, or [ErrNotFound].
// Without its time it has to look at all keys, the newest first, which takes
// about a second for a million. So one search is made at a time, and it ends
// when ctx does.
func (l *Ledger) Find(ctx context.Context, id entry.ID) (Record, error) {
	select {
	case l.finding <- struct{}{}:
		defer func() { <-l.finding }()
	case <-ctx.Done():
		return Record{}, context.Cause(ctx)
	}
	for hi := entry.LastKey(); ; {
		if err := context.Cause(ctx); err != nil {
			return Record{}, err
		}
		rows, err := l.rows(entry.Key{}, hi, true)
		if err != nil {
			return Record{}, err
		}
		for _, r := range rows {
			if r.key.ID == id {
				return l.Get(r.key)
			}
		}
		if len(rows) < pageKeys {
			return Record{}, ErrNotFound
		}
		hi = rows[len(rows)-1].key
	}
}

// Range yields the records whose keys are in [lo, hi), in order of time. It
// ends after an error. Damaged records are passed over.
func (l *Ledger) Range(lo, hi entry.Key) iter.Seq2[Record, error] {
	return l.each(lo, hi, false)
}

// RangeDown is Range with the newest first.
func (l *Ledger) RangeDown(lo, hi entry.Key) iter.Seq2[Record, error] {
	return l.each(lo, hi, true)
}

func (l *Ledger) each(lo, hi entry.Key, down bool) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for lo, hi := lo, hi; ; {
			p, err := l.page(l.view, lo, hi, down)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range p.records {
				if !yield(r, nil) {
					return
				}
			}
			switch {
			case p.end:
				return
			case down:
				hi = p.last
			default:
				lo = after(p.last)
			}
		}
	}
}

// page is what one transaction read.
type page struct {
	records []Record
	damaged []damage
	dropped int // of the damaged
	bytes   int
	last    entry.Key // of those looked at
	end     bool      // nothing follows
}

// page reads the first records of [lo, hi), or the last ones, and drops those
// that it finds damaged. It looks with view or look.
func (l *Ledger) page(look func(func(snapshot) error) error, lo, hi entry.Key, down bool) (page, error) {
	p := page{end: true}
	err := look(func(s snapshot) error {
		scan := s.scan
		if down {
			scan = s.scanDown
		}
		scan(lo, hi, func(key entry.Key, at row) bool {
			if len(p.records)+len(p.damaged) >= pageRecords || p.bytes > 0 && p.bytes+int(at.size) > pageBytes {
				p.end = false
				return false
			}
			p.last = key
			p.bytes += int(at.size)
			if r, err := s.read(key, at); err != nil {
				p.damaged = append(p.damaged, damage{key: key, at: at, err: err})
			} else {
				p.records = append(p.records, r)
			}
			return true
		})
		return nil
	})
	l.touch(p.bytes)
	if err != nil {
		return page{}, err
	}
	p.dropped = l.drop(p.damaged)
	return p, nil
}

// keyed is a row with its key.
type keyed struct {
	key entry.Key
	at  row
}

// rows reads up to pageKeys rows of [lo, hi), from the low end or the high.
func (l *Ledger) rows(lo, hi entry.Key, down bool) ([]keyed, error) {
	var rows []keyed
	err := l.view(func(s snapshot) error {
		scan := s.scan
		if down {
			scan = s.scanDown
		}
		scan(lo, hi, func(key entry.Key, at row) bool {
			rows = append(rows, keyed{key, at})
			return len(rows) < pageKeys
		})
		return nil
	})
	l.touch(len(rows) * rowOnDisk)
	return rows, err
}

// Keys yields the keys in [lo, hi), in order. It ends after an error.
func (l *Ledger) Keys(lo, hi entry.Key) iter.Seq2[entry.Key, error] {
	return func(yield func(entry.Key, error) bool) {
		for lo := lo; ; {
			rows, err := l.rows(lo, hi, false)
			if err != nil {
				yield(entry.Key{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r.key, nil) {
					return
				}
			}
			if len(rows) < pageKeys {
				return
			}
			lo = after(rows[len(rows)-1].key)
		}
	}
}

// After returns up to limit records whose cursors are above cursor, in order of
// arrival. An answer is bounded to 256 records and about 1 MiB, whatever the
// limit; it is empty only when there are none. The newest few thousand records
// come from memory.
func (l *Ledger) After(cursor uint64, limit int) ([]Record, error) {
	if limit = min(limit, pageRecords); limit <= 0 {
		return nil, nil
	}
	for {
		records, since, ok := l.newest(cursor, limit)
		if ok {
			return records, nil
		}
		p, last, err := l.logPage(cursor, limit)
		if err != nil || len(p.records) > 0 {
			return p.records, err
		}
		if cursor = last; p.end {
			cursor = max(cursor, since) // what is above is in memory
		}
	}
}

// newest returns up to limit records after cursor from memory, or false and the
// cursor from which on they are there.
func (l *Ledger) newest(cursor uint64, limit int) (records []Record, since uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	records, ok = l.recent.after(cursor)
	return firstVisible(records, l.totals.floor, limit), l.recent.since, ok
}

// firstVisible copies up to limit of those records that are not below the
// floor.
func firstVisible(records []Record, floor int64, limit int) []Record {
	var out []Record
	bytes := 0
	for _, r := range records {
		if len(out) >= limit || bytes > 0 && bytes+len(r.Entry.Raw) > pageBytes {
			break
		}
		if r.Entry.Time >= floor {
			out = append(out, r)
			bytes += len(r.Entry.Raw)
		}
	}
	return out
}

// logPage reads up to limit records from the log, drops those that it finds
// damaged, and returns the last cursor it looked at.
func (l *Ledger) logPage(cursor uint64, limit int) (p page, last uint64, err error) {
	p.end, last = true, cursor
	newest := l.State().Last // what is beyond waits for the disk: its commit may not count
	err = l.look(func(s snapshot) error {
		c := s.log.Cursor()
		for k, v := c.Seek(appendCursor(nil, cursor+1)); k != nil; k, v = c.Next() {
			at, err := decodeCursor(k)
			if err != nil || at <= last || at > newest {
				continue // not given out yet, or out of order: scrub deals with it
			}
			if len(p.records)+len(p.damaged) >= limit || p.bytes > 0 && p.bytes+len(v) > pageBytes {
				p.end = false
				return nil
			}
			last = at
			p.bytes += min(len(v), maxRecord)
			r, err := s.readLogged(at, v)
			switch {
			case err != nil:
				p.damaged = append(p.damaged, damage{at: row{cursor: at}, err: err})
			case r.Entry != nil:
				p.records = append(p.records, r)
			}
		}
		return nil
	})
	l.touch(p.bytes)
	if err != nil {
		return page{}, last, err
	}
	l.dropLogged(p.damaged)
	return p, last, nil
}

// readLogged decodes a record of the log. It returns none, and no error, for
// one below the floor, and for one that the index does not have under this
// cursor: scrub deals with that.
func (s snapshot) readLogged(cursor uint64, v []byte) (r Record, err error) {
	defer recoverDamage(&err)
	if r, err = decodeRecord(cursor, v); err != nil {
		return Record{}, err
	}
	if at, ok := s.lookup(r.Entry.Key()); !ok || at.cursor != cursor || r.Entry.Time < s.floor {
		return Record{}, nil
	}
	return r, nil
}
