package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/api/client"
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
	// stray is where the reader meant to begin, until it is told that this is no
	// place in this ledger.
	stray *position
}

// visitor takes what a follower finds.
type visitor interface {
	ping(r *ledger.Record, i int)
	gap(g gap)
}

// gap is what a reader can't be given, as [client.Gap] says it.
type gap struct {
	from, to position
	reason   string
}

// pull gives the next records to v and returns how many they were. With none,
// the ledger has no more for now.
func (f *follower) pull(v visitor) (int, error) {
	if f.stray != nil {
		v.gap(gap{*f.stray, f.at, client.GapOtherLedger})
		f.stray = nil
	}
	last := f.ledger.State().Last // before After: what is up to here, After sees or it is forgotten
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
		v.gap(gap{f.at, to, client.GapForgotten})
	}
	f.at, f.exact = to, true
}

// begin begins at a cursor, if it is one of this ledger. One of another, or of an epoch
// that began after the copy was made which this is, says nothing of what its reader has
// had of this: it gets all. One of the epoch in which the copy was made has had what
// the copy had: it gets what has come to this since.
func (f *follower) begin(at position) {
	f.at, f.exact = at, at.arrival > 0
	last, known := f.ledger.State().Last, at.epoch == 0
	if !known {
		last, known = f.ledger.Reach(at.epoch)
	}
	switch {
	case known && !at.beyond(last):
		f.at.epoch = 0
		return
	case known && at.epoch != 0:
		f.at = position{arrival: last + 1}
	default:
		f.at, f.exact = position{}, false
	}
	if !at.start() {
		f.stray = &at
	}
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
		if m.cursor != nil {
			f.begin(*m.cursor)
			break
		}
		if f.at, err = s.inArrival(ctx, m); err != nil {
			return nil, err
		}
		f.exact = m.id != nil
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

func (lineFormat) begin(b []byte, _ *encoder, _ *follower) []byte { return b }

func (lineFormat) ping(b []byte, e *encoder, r *ledger.Record, i int) []byte {
	return append(e.ping(b, r, i), '\n')
}

func (lineFormat) gap(b []byte, e *encoder, g gap) []byte {
	b = append(b, `{"gap":`...)
	return append(e.gap(b, g), "}\n"...)
}

func (lineFormat) event(b []byte, _ string, _ []byte) []byte { return b }

func (lineFormat) beat(b []byte, _ *encoder, _ *follower) []byte { return append(b, '\n') }

// gap appends the JSON of a [client.Gap].
func (e *encoder) gap(b []byte, g gap) []byte {
	b = append(b, `{"from":"`...)
	b = e.cursor(b, g.from)
	b = append(b, `","to":"`...)
	b = e.cursor(b, g.to)
	b = append(b, `","reason":"`...)
	b = append(b, g.reason...)
	return append(b, `"}`...)
}
