package ledger

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"p2ping/node/entry"
)

// snapshot is the ledger as one reading transaction sees it.
type snapshot struct {
	*totals
	log, index, meta *bbolt.Bucket
	suspects         *suspects
	sound            *sound // of a writing transaction
	ahead            bool   // it is not going to be committed
}

func (l *Ledger) snapshot(tx *bbolt.Tx) (snapshot, error) {
	t, err := loadTotals(tx)
	return snapshot{
		totals:   &t,
		log:      tx.Bucket([]byte(logBucket)),
		index:    tx.Bucket([]byte(indexBucket)),
		meta:     tx.Bucket([]byte(metaBucket)),
		suspects: &l.suspects,
	}, err
}

// look runs f in a reading transaction, on the bbolt file alone. What f panics
// with, faults of the mapped file included, becomes an error that wraps
// [ErrDamaged].
func (l *Ledger) look(f func(snapshot) error) error {
	err := l.inTx(false, func(tx *bbolt.Tx) error {
		s, err := l.snapshot(tx)
		if err != nil {
			return err
		}
		return f(s)
	})
	if l.suspects.any.Load() {
		l.suspects.report(l.logger)
		l.wake()
	}
	return err
}

// inTx runs f in a transaction, and commits a writing one.
func (l *Ledger) inTx(writable bool, f func(*bbolt.Tx) error) (err error) {
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	tx, err := l.begin(writable)
	if err != nil {
		return err
	}
	// After a panic this gives back bbolt's locks without a look at its pages,
	// unlike what bbolt.DB.Update does; after a commit it does nothing.
	defer tx.Rollback() //nolint:errcheck // says only that the transaction is over
	if err := f(tx); err != nil || !writable {
		return hinted(err)
	}
	return hinted(tx.Commit())
}

// begin begins a transaction. When that panics, as bbolt's meta pages cannot be
// read any more, bbolt's locks stay locked: it is not touched again then.
func (l *Ledger) begin(writable bool) (tx *bbolt.Tx, err error) {
	if l.broken.Load() {
		return nil, hinted(fmt.Errorf("%w: its first pages cannot be read", ErrDamaged))
	}
	defer func() {
		if r := recover(); r != nil {
			l.broken.Store(true)
			panic(r)
		}
	}()
	tx, err = l.db.Begin(writable)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return tx, err
}

// hinted adds a hint to an error about damage that has none. Damage is also
// what bbolt says when a pair has become a bucket.
func hinted(err error) error {
	if errors.Is(err, berrors.ErrIncompatibleValue) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !errors.Is(err, ErrDamaged) || strings.HasSuffix(err.Error(), rebuildHint) {
		return err
	}
	return fmt.Errorf("%w; %s", err, rebuildHint)
}

// recoverDamage makes an error of a panic. bbolt panics, and reading the mapped
// file faults, where the file is not what it was when it was opened.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = hinted(fmt.Errorf("%w: %v", ErrDamaged, r))
	}
}

// errNothing ends an update that turned out to change nothing.
var errNothing = errors.New("nothing to commit")

// update runs f in a writing transaction, stores the totals as f left them,
// commits and publishes; added are the records that f says it stored. When f
// returns errNothing nothing happens, and after any other error nothing is
// changed, and what is kept in memory was taken from the file again.
func (l *Ledger) update(f func(snapshot) (added []Record, err error)) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.write(f)
}

// write is update for a caller that holds l.writing.
func (l *Ledger) write(f func(snapshot) (added []Record, err error)) error {
	var now standing
	var added []Record
	err := l.change(func(tx *bbolt.Tx) error {
		after, err := l.snapshot(tx)
		if err != nil {
			return err
		}
		after.sound = l.newSound(tx)
		if added, err = f(after); err != nil {
			return err
		}
		if now, err = after.standing(); err != nil {
			return err
		}
		return storeTotals(tx, *after.totals)
	})
	l.prefixes.settle()
	switch {
	case err == nil:
		l.setFull(false)
		l.publish(now, added)
		return nil
	case errors.Is(err, errNothing):
		return nil
	case errors.Is(err, ErrClosed):
		return err
	case isFull(err):
		l.setFull(true)
		err = fullOr(err)
	}
	l.setDirect()
	if again := l.reload(); again != nil {
		err = errors.Join(err, again)
	}
	return err
}

// lookup finds the row of a key. A damaged row is none.
func (s snapshot) lookup(key entry.Key) (row, bool) {
	var b [entry.KeySize]byte
	k := key.Append(b[:0])
	v := s.index.Get(k)
	if v == nil {
		return row{}, false
	}
	_, at, err := decodeRow(k, v)
	return at, err == nil
}

// read reads and verifies the record that a row points to.
func (s snapshot) read(key entry.Key, at row) (r Record, err error) {
	defer recoverDamage(&err)
	var k [cursorSize]byte
	v := s.log.Get(appendCursor(k[:0], at.cursor))
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

// scan calls f for the rows in [lo, hi) that are not below the floor, in order,
// until it returns false. Rows that are damaged or out of order are passed over
// and noted: the keys that f sees always rise.
func (s snapshot) scan(lo, hi entry.Key, f func(entry.Key, row) bool) {
	lo = higher(lo, entry.Key{Time: s.floor})
	if lo.Compare(hi) >= 0 {
		return
	}
	c := s.index.Cursor()
	for k, v := c.Seek(lo.Append(nil)); k != nil; k, v = c.Next() {
		key, at, err := decodeRow(k, v)
		switch {
		case err != nil || key.Compare(lo) < 0:
			s.suspects.add(k)
			continue
		case key.Compare(hi) >= 0 || !f(key, at):
			return
		}
		lo = after(key)
	}
}

// scanDown is scan in falling order.
func (s snapshot) scanDown(lo, hi entry.Key, f func(entry.Key, row) bool) {
	lo = higher(lo, entry.Key{Time: s.floor})
	if lo.Compare(hi) >= 0 {
		return
	}
	c := s.index.Cursor()
	before := c.Prev
	if k, _ := c.Seek(hi.Append(nil)); k == nil {
		before = c.Last
	}
	k, v := before()
	for ; k != nil; k, v = c.Prev() {
		key, at, err := decodeRow(k, v)
		switch {
		case err != nil || key.Compare(hi) >= 0:
			s.suspects.add(k)
			continue
		case key.Compare(lo) < 0 || !f(key, at):
			return
		}
		hi = key
	}
}

// higher returns the higher of two keys.
func higher(a, b entry.Key) entry.Key {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// lower returns the lower of two keys.
func lower(a, b entry.Key) entry.Key {
	if b.Compare(a) < 0 {
		return b
	}
	return a
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
