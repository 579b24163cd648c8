package ledger

import "sort"

// Bounds of the records that are kept in memory: followers that keep up are
// served from them. Small, as their room is taken from every node's resident
// memory, twice over with the garbage collector's share.
const (
	recentCount = 4096
	recentBytes = 2 << 20
)

// recent holds the newest records in order of arrival, without a gap: every
// record whose cursor is above since.
type recent struct {
	records []Record // records[:dead] are given up
	dead    int
	bytes   int
	since   uint64
}

func newRecent() recent { return recent{} }

// reset forgets all. Records above since will be pushed.
func (n *recent) reset(since uint64) { *n = recent{since: since} }

// push adds the newest record and gives up old ones until the bounds hold.
func (n *recent) push(r Record) {
	n.records = append(n.records, r)
	n.bytes += weight(r)
	for n.bytes > recentBytes || len(n.records)-n.dead > recentCount {
		old := &n.records[n.dead]
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

// after returns those above cursor, oldest first, or false when some of them
// are on disk only. The result must not be changed.
func (n *recent) after(cursor uint64) ([]Record, bool) {
	if cursor < n.since {
		return nil, false
	}
	live := n.records[n.dead:]
	at := sort.Search(len(live), func(i int) bool { return live[i].Cursor > cursor })
	return live[at:], true
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
