package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"p2ping/node/ledger"
)

// getEvents streams server-sent events: pings as they arrive and, where asked
// for, what happens to peers and to comparisons with them.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "topics", "since", "recent", "author")
	if err != nil {
		return err
	}
	topics, err := parseTopics(query.Get("topics"))
	if err != nil {
		return err
	}
	// A browser that reconnects repeats the URL as it was.
	since := query.Get("since")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		since = last
	}
	f, err := s.newFollower(r.Context(), query, since)
	if err != nil {
		return err
	}
	done, err := s.beginStream()
	if err != nil {
		return err
	}
	defer done()
	feed := s.newFeed(w, eventFormat{})
	if slices.Contains(topics, "ping") {
		feed.follower = f
	}
	if slices.Contains(topics, "peer") || slices.Contains(topics, "sync") {
		feed.changes = s.watch.subscribe(slices.Contains(topics, "peer"), slices.Contains(topics, "sync"))
		defer s.watch.unsubscribe()
	}
	feed.run(r)
	return nil
}

func parseTopics(v string) ([]string, error) {
	known := []string{"ping", "peer", "sync"}
	if v == "" {
		return known, nil
	}
	topics := strings.Split(v, ",")
	for _, t := range topics {
		if !slices.Contains(known, t) {
			return nil, refusef(http.StatusBadRequest, "there is no topic %.40q, but %s", t, strings.Join(known, ", "))
		}
	}
	return topics, nil
}

// eventFormat writes server-sent events. The id of a ping is the position
// behind it; other events can't be resumed and leave the id as it is.
type eventFormat struct{}

func (eventFormat) contentType() string { return "text/event-stream" }

// begin shows at once that the stream stands, and from where on it resumes.
func (f eventFormat) begin(b []byte, e *encoder, at *follower) []byte {
	b = append(b, ": p2ping\nretry: 1000\n"...)
	return f.beat(b, e, at)
}

func (eventFormat) ping(b []byte, e *encoder, r *ledger.Record, i int) []byte {
	b = append(b, "event: ping\nid: "...)
	b = e.cursor(b, behind(r, i))
	b = append(b, "\ndata: "...)
	return append(e.ping(b, r, i), "\n\n"...)
}

func (eventFormat) gap(b []byte, e *encoder, g gap) []byte {
	b = append(b, "event: gap\nid: "...)
	b = e.cursor(b, g.to)
	b = append(b, "\ndata: "...)
	return append(e.gap(b, g), "\n\n"...)
}

func (eventFormat) event(b []byte, name string, data []byte) []byte {
	b = append(b, "event: "...)
	b = append(b, name...)
	b = append(b, "\ndata: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}

// beat is no event, as it has no data, but moves the id: past pings that the
// reader did not ask for.
func (eventFormat) beat(b []byte, e *encoder, at *follower) []byte {
	if at == nil {
		return append(b, ":\n\n"...)
	}
	b = append(b, ":\nid: "...)
	b = e.cursor(b, at.at)
	return append(b, "\n\n"...)
}

// format is how a feed is written.
type format interface {
	contentType() string
	begin(b []byte, e *encoder, at *follower) []byte
	ping(b []byte, e *encoder, r *ledger.Record, i int) []byte
	gap(b []byte, e *encoder, g gap) []byte
	// event is of another kind than ping and gap; data is one line of JSON.
	event(b []byte, name string, data []byte) []byte
	beat(b []byte, e *encoder, at *follower) []byte
}

// feed is one stream to one reader. It lives in the request's goroutine.
type feed struct {
	server   *Server
	format   format
	w        http.ResponseWriter
	out      *longAnswer
	encoder  *encoder
	follower *follower     // nil for no pings
	changes  *subscription // nil for no other events
	buffer   []byte
	err      error // the reader is gone, or too slow
}

func (s *Server) newFeed(w http.ResponseWriter, f format) *feed {
	return &feed{server: s, format: f, w: w, encoder: s.newEncoder()}
}

// run feeds the reader until it goes, stalls, or the server stops.
func (f *feed) run(r *http.Request) {
	f.out = f.server.newLongAnswer(f.w, f.format.contentType())
	f.buffer = f.format.begin(f.buffer, f.encoder, f.follower)
	f.write()
	f.err = errors.Join(f.err, f.out.flush()) // the header, even where begin has nothing to say
	beat := time.NewTicker(f.server.heartbeat)
	defer beat.Stop()
	for {
		changed, more, err := f.step()
		if err != nil {
			f.server.cutOff(r, err)
		}
		if f.flush(); f.err != nil {
			return // nobody reads what could be said about it
		}
		if !f.wait(r, changed, more, beat.C) {
			return
		}
	}
}

// wait waits for news, and reports false when the stream is to end. Where there
// is more already it does not wait, but looks: as nothing of a long stretch may
// be what the reader asked for, no write would notice that it has gone, and it
// still has to hear the beat.
func (f *feed) wait(r *http.Request, changed <-chan struct{}, more bool, beat <-chan time.Time) bool {
	if !more {
		select {
		case <-changed:
		case <-f.changes.changed():
		case <-beat:
			f.buffer = f.format.beat(f.buffer, f.encoder, f.follower)
		case <-f.server.stopping:
			return false
		case <-r.Context().Done():
			return false
		}
		return true
	}
	select {
	case <-f.server.stopping:
		return false
	case <-r.Context().Done():
		return false
	default:
	}
	select {
	case <-beat:
		f.buffer = f.format.beat(f.buffer, f.encoder, f.follower)
	default:
	}
	return true
}

// step writes what is new, and returns what to wait for when there is no more.
func (f *feed) step() (changed <-chan struct{}, more bool, err error) {
	f.changes.visit(func(name string, data []byte) {
		f.buffer = f.format.event(f.buffer, name, data)
	})
	if f.follower == nil {
		return nil, false, nil
	}
	changed = f.follower.ledger.Changed()
	n, err := f.follower.pull(f)
	return changed, n > 0, err
}

func (f *feed) ping(r *ledger.Record, i int) {
	f.buffer = f.format.ping(f.buffer, f.encoder, r, i)
	if len(f.buffer) >= streamBuffer {
		f.write()
	}
}

func (f *feed) gap(g gap) {
	f.buffer = f.format.gap(f.buffer, f.encoder, g)
}

func (f *feed) write() {
	if f.err == nil && len(f.buffer) > 0 {
		_, f.err = f.out.Write(f.buffer)
	}
	f.buffer = f.buffer[:0]
}

func (f *feed) flush() {
	if len(f.buffer) == 0 || f.err != nil {
		return
	}
	f.write()
	if f.err == nil {
		f.err = f.out.flush()
	}
}
