package api

import (
	"strconv"
	"strings"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// position is a place between two pings in the ledger's order of arrival. It
// names the ping that comes next, so that one who has read everything up to it
// can be told exactly whether anything has been forgotten since: the cursor of
// a ping is the position behind it.
type position struct {
	// arrival is the cursor of the next ping's entry, which need not exist yet.
	arrival uint64
	// index is the next ping's in there.
	index int
	// epoch is that of a cursor that was given out by a ledger, be it this node's or
	// not; zero for a position in this node's, and for a cursor that does not say.
	epoch ledger.Epoch
}

// behind returns the position after ping i of a record.
func behind(r *ledger.Record, i int) position {
	if i+1 < len(r.Entry.Pings) {
		return position{arrival: r.Cursor, index: i + 1}
	}
	return position{arrival: r.Cursor + 1}
}

// start tells whether nothing lies before a position, in whichever ledger.
func (p position) start() bool { return p.arrival <= 1 && p.index == 0 }

// beyond tells whether somebody who has read all up to a cursor is not there yet.
func (p position) beyond(last uint64) bool {
	return p.arrival > last+1 || p.arrival == last+1 && p.index > 0
}

// append writes a position as a cursor: arrival, index and, if there is one, epoch.
func (p position) append(b []byte) []byte {
	b = strconv.AppendUint(b, p.arrival, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(p.index), 10)
	if p.epoch == 0 {
		return b
	}
	b = append(b, '-')
	return append(b, p.epoch.String()...)
}

func (p position) String() string { return string(p.append(nil)) }

// maxDigits is the length of the highest cursor, and keeps ids, which may be
// all digits too, from being taken for one.
const maxDigits = 19

// parsePosition reads what append writes. The index may be left out, and so may the
// epoch.
func parsePosition(s string) (p position, ok bool) {
	arrival, rest, more := strings.Cut(s, "-")
	if len(arrival) > maxDigits || !decimal(arrival) {
		return position{}, false
	}
	var err error
	if p.arrival, err = strconv.ParseUint(arrival, 10, 63); err != nil || !more {
		return p, err == nil
	}
	index, epoch, more := strings.Cut(rest, "-")
	if !decimal(index) {
		return position{}, false
	}
	if p.index, err = strconv.Atoi(index); err != nil || p.index >= entry.MaxPings || !more {
		return p, err == nil && p.index < entry.MaxPings
	}
	p.epoch, err = ledger.ParseEpoch(epoch)
	return p, err == nil
}

func decimal(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// spot is a ping's place in the order of time that all ledgers share.
type spot struct {
	key   entry.Key
	index int
}

// successor returns the key that comes directly after k.
func successor(k entry.Key) entry.Key {
	for i := len(k.ID) - 1; i >= 0; i-- {
		k.ID[i]++
		if k.ID[i] != 0 {
			return k
		}
	}
	k.Time++
	return k
}
