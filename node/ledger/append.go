package ledger

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// Append stores entries and returns the records of those that were new, in
// order. Those that are held already, given twice, or below the floor are
// skipped. It returns when they are on the disk; concurrent callers share
// the wait for that. All entries of one call are stored, or none: [ErrFull] when
// the disk is full, [ErrClosed], or the context's error, if that ended while the
// call waited for its turn.
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

// commit stores what the calls want and fills in their results: in the journal,
// or, where that won't do, in the bbolt file.
func (l *Ledger) commit(batch []*call) {
	if l.journalise(batch) {
		return
	}
	if err := l.store(batch); err != nil {
		for _, c := range batch {
			c.records, c.err = nil, err
		}
	}
}

// journalise writes the calls' new entries to the journal, in one frame, and
// publishes them. It returns false, and has done nothing, when the bbolt file
// must be written to instead.
func (l *Ledger) journalise(batch []*call) bool {
	size := frameHead
	for _, c := range batch {
		for _, e := range c.entries {
			size += framed(len(e.Raw))
		}
	}
	if size > maxFrame || !l.makeRoom(size) {
		return false
	}
	added, err := l.fresh(batch)
	if err != nil {
		return false // it will say the same
	}
	if len(added) == 0 {
		return true
	}
	head, err := l.journal.write(l.journal.head, added)
	if err != nil {
		l.logger.Error("writing to the ledger's journal", "error", err)
		l.setDirect()
		return false
	}
	l.hold(added, head)
	return true
}

// makeRoom tells whether a frame of size bytes can be written to the journal.
// It makes the journal if there is none, and empties one that is full.
func (l *Ledger) makeRoom(size int) bool {
	if l.journal == nil {
		l.makeJournal()
		return false // the bbolt file has to name it first
	}
	usable, room := l.room(size)
	if usable && !room && l.settled() == nil {
		usable, room = l.room(size)
	}
	return usable && room
}

// room tells whether the journal may be written to, which the first append of a
// Ledger may not, as its epoch begins in the bbolt file; and whether there is room
// for a frame of size bytes.
func (l *Ledger) room(size int) (usable, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.direct && !l.full && l.epochs.current() == l.epoch, l.journal.room(size)
}

// fresh makes records of those of the calls' entries that are new, with the
// next cursors, and gives each call its own.
func (l *Ledger) fresh(batch []*call) (added []Record, err error) {
	// What is pending first: what is folded meanwhile, the transaction has.
	held, next, floor := l.heldPending(batch)
	err = l.inTx(false, func(tx *bbolt.Tx) error {
		s := snapshot{index: tx.Bucket([]byte(indexBucket))}
		for _, c := range batch {
			first := len(added)
			for _, e := range c.entries {
				key := e.Key()
				if _, stored := s.lookup(key); stored || held[key] || key.Time < floor {
					continue
				}
				held[key] = true
				added = append(added, Record{Cursor: next, ReceivedAt: c.receivedAt, Via: c.via, Entry: e})
				next++
			}
			c.records = added[first:len(added):len(added)]
		}
		return nil
	})
	return added, err
}

// heldPending returns which of the calls' entries are pending, with the next
// cursor and the floor.
func (l *Ledger) heldPending(batch []*call) (held map[entry.Key]bool, next uint64, floor int64) {
	held = make(map[entry.Key]bool)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range batch {
		for _, e := range c.entries {
			if _, pending := l.recent.keys[e.Key()]; pending {
				held[e.Key()] = true
			}
		}
	}
	return held, l.totals.next, l.totals.floor
}

// hold publishes records that are in the journal, whose next frame will be at
// head.
func (l *Ledger) hold(added []Record, head uint64) {
	if len(added) == 0 {
		return
	}
	l.mu.Lock()
	for _, r := range added {
		l.recent.push(r)
		if r.Entry.Time >= l.totals.floor {
			l.totals.add(rowOf(r))
		}
		l.totals.next = r.Cursor + 1
	}
	l.journal.head = head
	exceeded, crowded := l.limits.exceeded(l.totals), head-l.journal.tail >= foldAt
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	nudge(l.held)
	if crowded {
		nudge(l.crowded)
	}
	if exceeded {
		l.wake()
	}
}

// setDirect has appends go to the bbolt file until a transaction has taken up
// what is pending.
func (l *Ledger) setDirect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.direct = true
}

// store stores what the calls want, and what is in the journal, in the bbolt
// file in one transaction.
func (l *Ledger) store(batch []*call) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.fold(func(w *writer) (added []Record, err error) {
		for _, c := range batch {
			first := len(added)
			if added, err = w.take(added, c); err != nil {
				return nil, err
			}
			c.records = added[first:len(added):len(added)]
		}
		return added, nil
	})
}

// writer stores entries within one transaction.
type writer struct {
	snapshot
	lowest entry.Key // of those stored
	// arena has what is stored, in pieces with room for many: bbolt keeps the
	// values until the commit.
	arena  []byte
	stored int // bytes
}

func newWriter(s snapshot) *writer {
	// The log only grows at its end, so its pages are filled; the index mostly
	// does, but an entry may always come late.
	s.log.FillPercent, s.index.FillPercent = 1, 0.9
	return &writer{snapshot: s, lowest: entry.LastKey()}
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
	w.reserve(cursorSize + recordHeader + len(r.Entry.Raw) + entry.KeySize + rowSize)
	if err := w.put(w.log, w.keep(func(b []byte) []byte { return appendCursor(b, r.Cursor) }),
		w.keep(func(b []byte) []byte { return appendRecord(b, r) })); err != nil {
		return err
	}
	k := w.keep(key.Append)
	if old := w.index.Get(k); old != nil {
		w.forget(old) // damaged, or it is replaced
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

// arenaPiece is how much is allocated at once for what is stored.
const arenaPiece = 64 << 10

// reserve makes room for n bytes.
func (w *writer) reserve(n int) {
	w.stored += n
	if cap(w.arena)-len(w.arena) < n {
		w.arena = make([]byte, 0, max(n, min(arenaPiece, 2*w.stored)))
	}
}

// keep returns what f appends, as a slice of its own within the arena.
func (w *writer) keep(f func([]byte) []byte) []byte {
	start := len(w.arena)
	w.arena = f(w.arena)
	return w.arena[start:len(w.arena):len(w.arena)]
}
