package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// silence is how long a stream may say nothing, three of the node's
	// heartbeats, before it is taken for dead.
	silence = 45 * time.Second
	// Bounds of the pause before a stream is opened again.
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// FollowQuery says what to follow, and from where on.
type FollowQuery struct {
	// Since is where to begin: a cursor, after which the stream goes on; a
	// ping's id, likewise; RFC 3339 or how long ago, such as "10m" or "7d", by the time
	// of arrival; "0" for everything that is kept. "" means now.
	Since string
	// Recent begins before the last so many pings that arrived, up to 1,000.
	// Since counts for more.
	Recent int
	// Author restricts pings to those of a peer ID.
	Author string
	// Topics are those of "ping", "peer" and "sync" that are wanted; none means
	// "ping".
	Topics []string
	// Broken, unless nil, is called when the stream broke, before the pause that
	// precedes the next try. It is called by the iterating goroutine.
	Broken func(err error, pause time.Duration)
	// Opened, unless nil, is called when the stream stands, the first time and
	// after each time that it broke. It is called by the iterating goroutine.
	Opened func()
}

// Event is one thing that happened: exactly one of its pointers is set.
type Event struct {
	// Ping is a ping that arrived. Its Cursor is where to go on from.
	Ping *Ping
	// Gap says that pings may be missing here, or come again.
	Gap  *Gap
	Peer *PeerEvent
	Sync *PeerSync
}

// Follow yields what happens at the node, pings in the order in which they
// arrive there, each exactly once. (What happens to peers and comparisons while
// the stream is broken is not repeated.) When it breaks it connects again,
// after a pause with jitter, and goes on where it was: through restarts of the
// node, for as long as ctx lives.
//
// A yielded error is the last: the node could not be reached the first time,
// or it refused the request, or ctx ended.
func (c *Client) Follow(ctx context.Context, q FollowQuery) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := follow{client: c, query: q, yield: yield}
		pause := minPause
		for {
			opened, err := f.once(ctx)
			switch {
			case f.stopped:
				return
			case ctx.Err() != nil:
				yield(Event{}, context.Cause(ctx))
				return
			case final(err) || !f.ever:
				yield(Event{}, err)
				return
			}
			if opened {
				pause = minPause
			}
			wait := pause/2 + rand.N(pause/2)
			if refusal, ok := errors.AsType[*Error](err); ok {
				wait = max(wait, refusal.RetryAfter)
			}
			if q.Broken != nil {
				q.Broken(err, wait)
			}
			if !sleep(ctx, wait) {
				yield(Event{}, context.Cause(ctx))
				return
			}
			pause = min(2*pause, maxPause)
		}
	}
}

// final tells whether trying again would not help.
func final(err error) bool {
	refusal, ok := errors.AsType[*Error](err)
	return ok && !refusal.Temporary() && refusal.Status < http.StatusInternalServerError
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// follow is one iteration of Follow.
type follow struct {
	client  *Client
	query   FollowQuery
	yield   func(Event, error) bool
	last    string // the id of the last event, where to go on
	ever    bool   // the stream stood at least once
	stopped bool   // the caller wants no more
}

// once opens the stream and reads it to its end.
func (f *follow) once(ctx context.Context) (opened bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(f.client.silentFor(silence)) })
	defer watchdog.Stop()
	req, err := f.client.request(ctx, http.MethodGet, withQuery("/events", f.values()), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	}
	answer, err := f.client.do(req)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return false, err
	}
	defer closeBody(answer)
	if answer.StatusCode != http.StatusOK {
		return false, problem(answer)
	}
	f.ever = true
	if f.query.Opened != nil {
		f.query.Opened()
	}
	err = f.read(answer.Body, func() { watchdog.Reset(silence) })
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err == nil {
		err = io.EOF
	}
	return true, fmt.Errorf("following %s: %w", f.client.where, err)
}

func (f *follow) values() url.Values {
	values := url.Values{}
	set(values, "since", f.query.Since)
	set(values, "author", f.query.Author)
	if f.query.Recent > 0 {
		values.Set("recent", strconv.Itoa(f.query.Recent))
	}
	topics := f.query.Topics
	if len(topics) == 0 {
		topics = []string{"ping"}
	}
	values.Set("topics", strings.Join(topics, ","))
	return values
}

// read reads server-sent events until they end or nobody wants more.
func (f *follow) read(body io.Reader, alive func()) error {
	var name, id string
	var data []byte
	for line, err := range eachLine(body) {
		if err != nil {
			return err
		}
		alive()
		if len(line) == 0 {
			if id != "" {
				f.last = id
			}
			if len(data) > 0 {
				if err := f.dispatch(name, data); err != nil || f.stopped {
					return err
				}
			}
			name, id, data = "", "", data[:0]
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "id":
			id = string(value)
		case "data":
			data = append(data, value...) // a node's data is one line
		}
	}
	return nil
}

// dispatch hands one event to the caller. Kinds that are not known are from a
// newer node.
func (f *follow) dispatch(name string, data []byte) error {
	var e Event
	var v any
	switch name {
	case "ping":
		e.Ping = new(Ping)
		v = e.Ping
	case "gap":
		e.Gap = new(Gap)
		v = e.Gap
	case "peer":
		e.Peer = new(PeerEvent)
		v = e.Peer
	case "sync":
		e.Sync = new(PeerSync)
		v = e.Sync
	default:
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	f.stopped = !f.yield(e, nil)
	return nil
}
