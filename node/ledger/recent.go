package ledger

import (
	"slices"
	"sort"

	"p2ping/node/entry"
)

// Bounds of the records that are kept in memory: followers that keep up are
// served from them. Small, as their room is taken from every node's resident
// memory, twice over with the garbage collector's share.
const (
	recentCount = 4096
	recentBytes = 2 << 20
)

// recent holds the newest records in order of arrival, without a gap: every
// record whose cursor is above since. Those above stored are pending: they are
// in the journal, and not in the bbolt file.
type recent struct {
	records []Record // records[:dead] are given up
	dead    int
	bytes   int
	since   uint64
	stored  uint64
	keys    map[entry.Key]uint64 // the cursors of those pending
}

func newRecent() recent { return recent{} }

// reset forgets all. Records above since will be pushed.
func (n *recent) reset(since uint64) { *n = recent{since: since, stored: since} }

// push adds the newest record and gives up old ones until the bounds hold.
func (n *recent) push(r Record) {
	n.records = append(n.records, r)
	n.bytes += weight(r)
	if r.Cursor > n.stored {
		if n.keys == nil {
			n.keys = make(map[entry.Key]uint64)
		}
		n.keys[r.Entry.Key()] = r.Cursor
	}
	n.trim()
}

// trim gives up old records until the bounds hold, but none that is pending.
func (n *recent) trim() {
	for n.bytes > recentBytes || len(n.records)-n.dead > recentCount {
		old := &n.records[n.dead]
		if old.Cursor > n.stored {
			break
		}
		n.bytes -= weight(*old)
		n.since = old.Cursor
		*old = Record{}
		n.dead++
	}
	if n.dead > recentCount && n.dead > len(n.records)/2 {
		n.records = append([]Record(nil), n.records[n.dead:]...)
		n.dead = 0
	}
}

// settle notes that the bbolt file has the records up to a cursor.
func (n *recent) settle(stored uint64) {
	n.stored = max(n.stored, stored)
	for key, cursor := range n.keys {
		if cursor <= n.stored {
			delete(n.keys, key)
		}
	}
	if len(n.keys) == 0 {
		n.keys = nil
	}
	n.trim()
}

// last returns the cursor of the newest record, or what is stored.
func (n *recent) last() uint64 {
	if live := n.records[n.dead:]; len(live) > 0 {
		return live[len(live)-1].Cursor
	}
	return n.stored
}

// pending returns a copy of the records that are pending.
func (n *recent) pending() []Record { return slices.Clone(n.above(n.stored)) }

// get returns the record of an entry that is pending.
func (n *recent) get(key entry.Key) (Record, bool) {
	cursor, ok := n.keys[key]
	if !ok {
		return Record{}, false
	}
	return n.above(cursor - 1)[0], true
}

// after returns those above cursor, oldest first, or false when some of them
// are on disk only. The result must not be changed.
func (n *recent) after(cursor uint64) ([]Record, bool) {
	if cursor < n.since {
		return nil, false
	}
	return n.above(cursor), true
}

// above returns the records that are held and above a cursor.
func (n *recent) above(cursor uint64) []Record {
	live := n.records[n.dead:]
	at := sort.Search(len(live), func(i int) bool { return live[i].Cursor > cursor })
	return live[at:]
}

// forget removes the record with the given cursor, which was dropped.
func (n *recent) forget(cursor uint64) {
	live := n.records[n.dead:]
	at := sort.Search(len(live), func(i int) bool { return live[i].Cursor >= cursor })
	if at < len(live) && live[at].Cursor == cursor {
		n.bytes -= weight(live[at])
		n.records = append(n.records[:n.dead+at], n.records[n.dead+at+1:]...)
	}
}

// weight estimates a record's memory in bytes: its encoding, its texts again,
// and what Go needs for each.
func weight(r Record) int {
	const perRecord, perPing = 320, 32
	return perRecord + 2*len(r.Entry.Raw) + perPing*len(r.Entry.Pings)
}
