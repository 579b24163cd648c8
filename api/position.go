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
}

// behind returns the position after ping i of a record.
func behind(r *ledger.Record, i int) position {
	if i+1 < len(r.Entry.Pings) {
		return position{r.Cursor, i + 1}
	}
	return position{arrival: r.Cursor + 1}
}

func (p position) append(b []byte) []byte {
	b = strconv.AppendUint(b, p.arrival, 10)
	b = append(b, '-')
	return strconv.AppendInt(b, int64(p.index), 10)
}

func (p position) String() string { return string(p.append(nil)) }

// maxDigits is the length of the highest cursor, and keeps ids, which may be
// all digits too, from being taken for one.
const maxDigits = 19

// parsePosition reads what append writes. The index may be left out.
func parsePosition(s string) (position, bool) {
	arrival, index, both := strings.Cut(s, "-")
	if len(arrival) > maxDigits || !decimal(arrival) || both && !decimal(index) {
		return position{}, false
	}
	a, err := strconv.ParseUint(arrival, 10, 63)
	if err != nil {
		return position{}, false
	}
	if !both {
		return position{arrival: a}, true
	}
	i, err := strconv.Atoi(index)
	return position{a, i}, err == nil && i < entry.MaxPings
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
