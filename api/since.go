package api

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// mark is a place in the ledger as requests name it: exactly one of its kinds.
type mark struct {
	at     time.Time // a time, given as such or as the time since then
	cursor *position // a cursor
	id     *pingID   // a ping's id
}

// pingID is the public name of a ping, or of a whole entry.
type pingID struct {
	entry entry.ID
	index int // -1 for the whole entry
}

// parseMark reads RFC 3339, a duration such as 10m that lies behind, an id or
// a cursor.
func (s *Server) parseMark(name, v string) (mark, error) {
	if p, ok := parsePosition(v); ok {
		return mark{cursor: &p}, nil
	}
	if id, ok := parsePingID(v); ok {
		return mark{id: &id}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return mark{at: at}, nil
	}
	if d, err := ParseDuration(v); err == nil {
		return mark{at: s.now().Add(-d)}, nil
	}
	p := refusef(http.StatusBadRequest, "the parameter %s can't be read: %.100q", name, v)
	p.Hint = "give a time (2026-01-02T15:04:05Z), how long ago (10m, 7d), a ping's id or a cursor"
	return mark{}, p
}

func parsePingID(s string) (pingID, bool) {
	id, index, both := strings.Cut(s, "-")
	e, err := entry.ParseID(id)
	if err != nil {
		return pingID{}, false
	}
	if !both {
		return pingID{e, -1}, true
	}
	if !decimal(index) {
		return pingID{}, false
	}
	i, err := strconv.Atoi(index)
	return pingID{e, i}, err == nil && i < entry.MaxPings
}

// find returns the record of a ping that a request names.
func (s *Server) find(ctx context.Context, id pingID) (ledger.Record, error) {
	r, err := s.node.Ledger().Find(ctx, id.entry)
	if errors.Is(err, ledger.ErrNotFound) {
		return r, refuse(http.StatusNotFound, "the ledger has no ping with this id",
			"it may have been forgotten, or not have come yet: give a time instead")
	}
	return r, err
}

// inTime returns the mark's place in the order of time. A ping that is named
// lies before it, or after it if it is to be the end.
func (s *Server) inTime(ctx context.Context, m mark, end bool) (spot, error) {
	switch {
	case m.cursor != nil:
		if m.cursor.arrival == 0 {
			return spot{}, nil // the beginning has the same place in both orders
		}
		return spot{}, refuse(http.StatusBadRequest, "history goes by time: a cursor is a place in the order of arrival", "use follow=1, or GET /events")
	case m.id != nil:
		r, err := s.find(ctx, *m.id)
		if err != nil {
			return spot{}, err
		}
		at := spot{key: r.Entry.Key(), index: max(m.id.index, 0)}
		switch {
		case end:
		case m.id.index < 0:
			at.key = successor(at.key)
		default:
			at.index++
		}
		return at, nil
	}
	return spot{key: entry.Key{Time: max(0, m.at.UnixMilli())}}, nil
}

// inArrival returns the place in the order of arrival of a mark that is no cursor. A
// ping that is named lies before it; a time is that of arrival here.
func (s *Server) inArrival(ctx context.Context, m mark) (position, error) {
	switch {
	case m.id != nil:
		r, err := s.find(ctx, *m.id)
		if err != nil {
			return position{}, err
		}
		if m.id.index < 0 {
			return position{arrival: r.Cursor + 1}, nil
		}
		return behind(&r, m.id.index), nil
	}
	return s.arrivedSince(m.at)
}

// arrivedSince returns the position of the first entry that arrived at a time
// or later. It looks at about log2 n records: clocks that were set back make it
// one of several such places.
func (s *Server) arrivedSince(at time.Time) (position, error) {
	l := s.node.Ledger()
	state := l.State()
	first := max(state.First, 1)
	var failed error
	n := sort.Search(int(min(state.Last+1-min(first, state.Last+1), math.MaxInt32)), func(i int) bool {
		records, err := l.After(first+uint64(i)-1, 1)
		failed = cmp.Or(failed, err)
		return len(records) == 0 || !records[0].ReceivedAt.Before(at)
	})
	return position{arrival: first + uint64(n)}, failed
}

// lastArrived returns the position before the last n pings that arrived.
func (s *Server) lastArrived(n int) (position, error) {
	l := s.node.Ledger()
	last := l.State().Last
	// Every entry has at least one ping, but not every cursor has an entry.
	at := last - min(last, uint64(n))
	enough, err := follow(l, at, n)
	if err == nil && !enough && at > 0 {
		at, err = beforeLast(l, last, n)
	}
	if err != nil {
		return position{}, err
	}
	var ends []position // before each of the last n pings, at most
	for at < last {
		records, err := l.After(at, n)
		if err != nil {
			return position{}, err
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			for i := range r.Entry.Pings {
				ends = append(ends, position{arrival: r.Cursor, index: i})
			}
		}
		ends = ends[max(0, len(ends)-n):]
		at = records[len(records)-1].Cursor
	}
	if len(ends) == 0 {
		return position{arrival: last + 1}, nil
	}
	return ends[0], nil
}

// beforeLast returns the highest cursor that n entries follow, or 0, where
// cursors up to last were given out. It looks at about n log2 last records.
func beforeLast(l *ledger.Ledger, last uint64, n int) (uint64, error) {
	var failed error
	back := sort.Search(int(min(last, math.MaxInt32)), func(i int) bool {
		enough, err := follow(l, last-uint64(i), n)
		failed = cmp.Or(failed, err)
		return enough
	})
	return last - uint64(back), failed
}

// follow tells whether n entries follow a cursor.
func follow(l *ledger.Ledger, at uint64, n int) (bool, error) {
	for n > 0 {
		records, err := l.After(at, n)
		if err != nil || len(records) == 0 {
			return false, err
		}
		n -= len(records)
		at = records[len(records)-1].Cursor
	}
	return true, nil
}
