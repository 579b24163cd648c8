package ledger

import (
	"fmt"
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
// validator: a lookup of some microseconds, no disk when the index is cached.
func (l *Ledger) Has(key entry.Key) bool {
	if key.Time < l.floor.Load() {
		return false
	}
	has := false
	err := l.view(func(tx *bbolt.Tx) error {
		_, _, has = lookup(tx, key)
		return nil
	})
	return err == nil && has
}

// lookup finds a key's row. It is not there when its row is damaged.
func lookup(tx *bbolt.Tx, key entry.Key) (encoded []byte, at row, ok bool) {
	encoded = key.Append(make([]byte, 0, entry.KeySize))
	v := tx.Bucket(indexBucket).Get(encoded)
	if v == nil {
		return encoded, row{}, false
	}
	_, at, err := decodeRow(encoded, v)
	return encoded, at, err == nil
}

// Get returns the record of an entry, or [ErrNotFound]: also when it turns out
// to be damaged.
func (l *Ledger) Get(key entry.Key) (Record, error) {
	if key.Time < l.floor.Load() {
		return Record{}, ErrNotFound
	}
	var p page
	err := l.view(func(tx *bbolt.Tx) error {
		if _, at, ok := lookup(tx, key); ok {
			p.read(tx, key, at)
		}
		return nil
	})
	if err != nil {
		return Record{}, err
	}
	l.drop(p.damaged)
	if len(p.records) == 0 {
		return Record{}, ErrNotFound
	}
	return p.records[0], nil
}

// Find returns the record of the entry with the given id, or [ErrNotFound].
// Without its time it has to look at all keys, the newest first.
func (l *Ledger) Find(id entry.ID) (Record, error) {
	for from, hi := (entry.Key{}), entry.LastKey(); ; {
		rows, err := l.rows(from, hi, pageKeys, true)
		if err != nil {
			return Record{}, err
		}
		if len(rows) == 0 {
			return Record{}, ErrNotFound
		}
		for _, r := range rows {
			if r.key.ID == id {
				return l.Get(r.key)
			}
		}
		hi = rows[len(rows)-1].key
	}
}

// Range yields the records whose keys are in [lo, hi), in order of time. After
// an error it ends.
func (l *Ledger) Range(lo, hi entry.Key) iter.Seq2[Record, error] {
	return l.each(lo, hi, false)
}

// RangeDown yields the records whose keys are in [lo, hi), the newest first.
// After an error it ends.
func (l *Ledger) RangeDown(lo, hi entry.Key) iter.Seq2[Record, error] {
	return l.each(lo, hi, true)
}

func (l *Ledger) each(lo, hi entry.Key, down bool) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for lo, hi := lo, hi; ; {
			p, err := l.page(lo, hi, down)
			if err != nil {
				yield(Record{}, err)
				return
			}
			l.drop(p.damaged)
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

// after returns the key that follows directly.
func after(k entry.Key) entry.Key {
	for i := len(k.ID) - 1; i >= 0; i-- {
		k.ID[i]++
		if k.ID[i] != 0 {
			return k
		}
	}
	k.Time++
	return k
}

// page is what one transaction read.
type page struct {
	records []Record
	damaged []damage
	bytes   int
	last    entry.Key // of those looked at
	end     bool      // nothing follows
}

// page reads the first records of [lo, hi), or the last ones.
func (l *Ledger) page(lo, hi entry.Key, down bool) (page, error) {
	p := page{end: true}
	err := l.view(func(tx *bbolt.Tx) error {
		return l.scan(tx, lo, hi, down, func(key entry.Key, at row) bool {
			if len(p.records) >= pageRecords || len(p.records) > 0 && p.bytes+int(at.size) > pageBytes {
				p.end = false
				return false
			}
			p.last = key
			p.read(tx, key, at)
			return true
		})
	})
	l.touch(p.bytes)
	return p, err
}

// read adds the record that the index has for key, or notes the damage.
func (p *page) read(tx *bbolt.Tx, key entry.Key, at row) {
	r, err := readRecord(tx, key, at)
	if err != nil {
		p.damaged = append(p.damaged, damage{key: key, at: at, err: err})
		return
	}
	p.records = append(p.records, r)
	p.bytes += len(r.Entry.Raw)
}

// readRecord reads and verifies the record that a row points to.
func readRecord(tx *bbolt.Tx, key entry.Key, at row) (r Record, err error) {
	defer recoverDamage(&err)
	var k [cursorSize]byte
	v := tx.Bucket(logBucket).Get(appendCursor(k[:0], at.cursor))
	if v == nil {
		return Record{}, fmt.Errorf("%w: record %d is missing", ErrDamaged, at.cursor)
	}
	if r, err = decodeRecord(at.cursor, v); err != nil {
		return Record{}, err
	}
	if r.Entry.Key() != key {
		return Record{}, fmt.Errorf("%w: record %d is of another entry than its key", ErrDamaged, at.cursor)
	}
	return r, nil
}

// scan calls f for the rows in [lo, hi) that are not below the floor, up or
// down, until it returns false. Rows that are damaged, or out of order, are
// passed over: so it always gets on.
func (l *Ledger) scan(tx *bbolt.Tx, lo, hi entry.Key, down bool, f func(entry.Key, row) bool) error {
	lo = higher(lo, floorKey(l.floor.Load()))
	if lo.Compare(hi) >= 0 {
		return nil
	}
	c := tx.Bucket(indexBucket).Cursor()
	var k, v []byte
	if down {
		k, v = seekBefore(c, hi)
	} else {
		k, v = c.Seek(lo.Append(make([]byte, 0, entry.KeySize)))
	}
	for k != nil {
		key, at, err := decodeRow(k, v)
		switch {
		case err != nil || key.Compare(lo) < 0 && !down || key.Compare(hi) >= 0 && down:
			l.noticeRow(k, v, err)
		case key.Compare(hi) >= 0 || key.Compare(lo) < 0:
			return nil
		default:
			if !f(key, at) {
				return nil
			}
			if down {
				hi = key
			} else {
				lo = after(key)
			}
		}
		if down {
			k, v = c.Prev()
		} else {
			k, v = c.Next()
		}
	}
	return nil
}

// seekBefore moves to the last key before hi.
func seekBefore(c *bbolt.Cursor, hi entry.Key) (k, v []byte) {
	if k, _ = c.Seek(hi.Append(make([]byte, 0, entry.KeySize))); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// higher returns the higher of two keys.
func higher(a, b entry.Key) entry.Key {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// keyed is a row with its key.
type keyed struct {
	key entry.Key
	at  row
}

// rows reads up to n rows of [lo, hi), from the low or the high end.
func (l *Ledger) rows(lo, hi entry.Key, n int, down bool) ([]keyed, error) {
	var rows []keyed
	err := l.view(func(tx *bbolt.Tx) error {
		return l.scan(tx, lo, hi, down, func(key entry.Key, at row) bool {
			rows = append(rows, keyed{key, at})
			return len(rows) < n
		})
	})
	l.touch(len(rows) * rowOnDisk)
	return rows, err
}

// Keys yields the keys in [lo, hi), in order. After an error it ends.
func (l *Ledger) Keys(lo, hi entry.Key) iter.Seq2[entry.Key, error] {
	return func(yield func(entry.Key, error) bool) {
		for lo := lo; ; {
			rows, err := l.rows(lo, hi, pageKeys, false)
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

// Count returns the number of entries in [lo, hi). It reads their index rows.
func (l *Ledger) Count(lo, hi entry.Key) (int, error) {
	n := 0
	err := l.view(func(tx *bbolt.Tx) error {
		return l.scan(tx, lo, hi, false, func(entry.Key, row) bool {
			n++
			return true
		})
	})
	l.touch(n * rowOnDisk)
	return n, err
}

// After returns up to limit records whose cursors are above cursor, in order of
// arrival. It may return fewer than there are, as its answer is bounded to
// about 1 MiB; it is empty only when there are none. The newest few thousand
// records come from memory.
func (l *Ledger) After(cursor uint64, limit int) ([]Record, error) {
	if limit <= 0 {
		return nil, nil
	}
	limit = min(limit, pageRecords)
	l.mu.Lock()
	records, ok := l.recent.after(cursor)
	if ok {
		records = visible(records, l.totals.floor, limit)
	}
	l.mu.Unlock()
	if ok {
		return records, nil
	}
	for {
		p, last, err := l.logPage(cursor, limit)
		if err != nil {
			return nil, err
		}
		l.dropRecords(p.damaged)
		if len(p.records) > 0 || p.end {
			return p.records, nil
		}
		cursor = last
	}
}

// visible copies up to limit of those records that are not below the floor.
func visible(records []Record, floor int64, limit int) []Record {
	out := make([]Record, 0, min(limit, len(records)))
	bytes := 0
	for _, r := range records {
		if len(out) == limit || len(out) > 0 && bytes+len(r.Entry.Raw) > pageBytes {
			break
		}
		if r.Entry.Time >= floor {
			out = append(out, r)
			bytes += len(r.Entry.Raw)
		}
	}
	return out
}

// logPage reads records from the log, and the last cursor it looked at.
func (l *Ledger) logPage(cursor uint64, limit int) (p page, last uint64, err error) {
	p.end, last = true, cursor
	floor := l.floor.Load()
	err = l.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(logBucket).Cursor()
		for k, v := c.Seek(appendCursor(nil, cursor+1)); k != nil; k, v = c.Next() {
			at, err := decodeCursor(k)
			if err != nil || at <= last {
				continue // damaged: scrub deals with it
			}
			if len(p.records) >= limit || len(p.records) > 0 && p.bytes+len(v) > pageBytes || len(p.damaged) >= limit {
				p.end = false
				return nil
			}
			last = at
			r, err := readLogged(tx, at, v)
			switch {
			case err != nil:
				p.damaged = append(p.damaged, damage{at: row{cursor: at}, err: err})
			case r.Entry != nil && r.Entry.Time >= floor:
				p.records = append(p.records, r)
			}
			p.bytes += len(v)
		}
		return nil
	})
	l.touch(p.bytes)
	return p, last, err
}

// readLogged decodes a record of the log. It returns none, and no error, for
// one that the index does not know under this cursor: scrub deals with that.
func readLogged(tx *bbolt.Tx, cursor uint64, v []byte) (r Record, err error) {
	defer recoverDamage(&err)
	if r, err = decodeRecord(cursor, v); err != nil {
		return Record{}, err
	}
	if _, at, ok := lookup(tx, r.Entry.Key()); !ok || at.cursor != cursor {
		return Record{}, nil
	}
	return r, nil
}
