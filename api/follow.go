package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/ledger"
)

const (
	// heartbeat is how often a stream without news shows that it is alive.
	heartbeat = 15 * time.Second
	// followBatch is how many records a follower takes at one time.
	followBatch = 256
	// defaultMaxStreams bounds the streams that are open at one time. Each costs
	// a connection, two goroutines and some 40 KiB.
	defaultMaxStreams = 256
)

// follower reads the ledger in its order of arrival. It has no queue: it pulls,
// as fast as its reader takes it.
type follower struct {
	ledger *ledger.Ledger
	// at is what comes next.
	at position
	// author restricts what is given, "" for all.
	author peer.ID
	// exact is unset until the follower knows that everything from at on was
	// promised: what was forgotten before is no gap to one who asked for all.
	exact bool
}

// visitor takes what a follower finds.
type visitor interface {
	ping(r *ledger.Record, i int)
	// gap tells that what arrived between two positions is not kept any more.
	gap(from, to position)
}

// pull gives the next records to v and returns how many they were. With none,
// the ledger has no more for now.
func (f *follower) pull(v visitor) (int, error) {
	last := f.ledger.State().Last // before After: what is up to here, After sees or it is forgotten
	if f.at.arrival > last+1 {
		// A cursor of another ledger, or of another life of this one.
		v.gap(f.at, position{})
		f.at, f.exact = position{}, false
	}
	after := f.at.arrival - min(f.at.arrival, 1)
	records, err := f.ledger.After(after, followBatch)
	if err != nil {
		return 0, err
	}
	for i := range records {
		f.visit(v, &records[i])
	}
	if len(records) == 0 && f.at.arrival <= last {
		f.skip(v, position{arrival: last + 1})
	}
	return len(records), nil
}

func (f *follower) visit(v visitor, r *ledger.Record) {
	if r.Cursor > f.at.arrival {
		f.skip(v, position{arrival: r.Cursor})
	}
	for i := f.at.index; i < len(r.Entry.Pings); i++ {
		if f.author == "" || r.Entry.Author == f.author {
			v.ping(r, i)
		}
	}
	f.at = position{arrival: r.Cursor + 1}
	f.exact = true
}

// skip moves on over what is not there any more.
func (f *follower) skip(v visitor, to position) {
	if f.exact {
		v.gap(f.at, to)
	}
	f.at, f.exact = to, true
}

// newFollower begins where a request says: at a mark, before the last so many
// pings, or now.
func (s *Server) newFollower(ctx context.Context, query url.Values, since string) (*follower, error) {
	author, err := parseAuthor(query)
	if err != nil {
		return nil, err
	}
	recent, err := number(query, "recent", maxLimit)
	if err != nil {
		return nil, err
	}
	f := &follower{ledger: s.node.Ledger(), author: author, exact: true}
	switch {
	case since != "" || query.Has("since"): // an empty one is a lost cursor, and must not pass as now
		m, err := s.parseMark("since", since)
		if err != nil {
			return nil, err
		}
		if f.at, err = s.inArrival(ctx, m); err != nil {
			return nil, err
		}
		f.exact = m.cursor != nil && m.cursor.arrival > 0 || m.id != nil
	case recent > 0:
		if f.at, err = s.lastArrived(recent); err != nil {
			return nil, err
		}
	default:
		f.at = position{arrival: f.ledger.State().Last + 1}
	}
	return f, nil
}

// beginStream counts a stream, unless there are too many. The caller calls done
// when it ends.
func (s *Server) beginStream() (done func(), err error) {
	select {
	case s.streams <- struct{}{}:
		return func() { <-s.streams }, nil
	default:
		return nil, later(http.StatusServiceUnavailable, 5*time.Second, "too many streams are open", "close some, or come back later")
	}
}

// followPings streams pings as they arrive, one a line. A blank line shows that
// the stream is alive; a line {"gap":{...}} tells of what was missed.
func (s *Server) followPings(w http.ResponseWriter, r *http.Request, query url.Values) error {
	for _, name := range []string{"until", "before", "limit"} {
		if query.Has(name) {
			return refusef(http.StatusBadRequest, "the parameter %s does not go with follow=1", name)
		}
	}
	if query.Get("format") == "json" {
		return refuse(http.StatusBadRequest, "what follows is NDJSON", "use GET /events for server-sent events")
	}
	f, err := s.newFollower(r.Context(), query, query.Get("since"))
	if err != nil {
		return err
	}
	done, err := s.beginStream()
	if err != nil {
		return err
	}
	defer done()
	feed := s.newFeed(w, lineFormat{})
	feed.follower = f
	feed.run(r)
	return nil
}

// lineFormat writes NDJSON.
type lineFormat struct{}

func (lineFormat) contentType() string { return ndjson }

func (lineFormat) begin(b []byte, _ *follower) []byte { return b }

func (lineFormat) ping(b []byte, e *encoder, r *ledger.Record, i int) []byte {
	return append(e.ping(b, r, i), '\n')
}

func (lineFormat) gap(b []byte, from, to position) []byte {
	b = append(b, `{"gap":`...)
	return append(appendGap(b, from, to), "}\n"...)
}

func (lineFormat) event(b []byte, _ string, _ []byte) []byte { return b }

func (lineFormat) beat(b []byte, _ *follower) []byte { return append(b, '\n') }

// appendGap appends the JSON of a [client.Gap].
func appendGap(b []byte, from, to position) []byte {
	b = append(b, `{"from":"`...)
	b = from.append(b)
	b = append(b, `","to":"`...)
	b = to.append(b)
	return append(b, `"}`...)
}
