package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is a ping to be published, and how.
type Request struct {
	// Text is 1 to 4,096 bytes of UTF-8; "" means the node's default.
	Text string
	// Key is an idempotency key, up to 255 bytes that the caller makes up anew
	// for every ping: a node publishes nothing twice under the same key in 24
	// hours, restarts included, and answers as it did the first time. So a
	// request whose answer was lost can be repeated. "" means none.
	Key string
	// Receipts is how many other nodes have to store the ping before the call
	// returns, up to 32. If time runs out first, that is no error: look at the
	// length of Published.Receipts.
	Receipts int
	// Timeout bounds the wait for receipts, up to 20 s; 0 means 3 s.
	Timeout time.Duration
}

// Publish publishes one ping. When it returns nil the ping is on disk.
//
// Beside the node's usual refusals, an [*Error] with status 409 says that the
// key is in use at this moment, or that nobody can tell yet whether its ping
// was published, as the node was stopped in between. Ask again with the same
// key, after RetryAfter: in the second case the answer comes with a peer that
// has the ping, and is 409 for up to 24 hours if there is none. Status 422 says
// that the key was used for another text.
func (c *Client) Publish(ctx context.Context, r Request) (Published, error) {
	query := url.Values{}
	if r.Receipts > 0 {
		query.Set("wait", strconv.Itoa(r.Receipts))
		if r.Timeout > 0 {
			query.Set("timeout", r.Timeout.String())
		}
	}
	body := "{}"
	if r.Text != "" {
		b, err := json.Marshal(NewPing{Text: r.Text})
		if err != nil {
			return Published{}, fmt.Errorf("encoding a ping: %w", err)
		}
		body = string(b)
	}
	req, err := c.request(ctx, http.MethodPost, withQuery("/ping", query), strings.NewReader(body))
	if err != nil {
		return Published{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.Key != "" {
		req.Header.Set("Idempotency-Key", r.Key)
	}
	answer, err := c.ask(req)
	if err != nil {
		return Published{}, err
	}
	defer closeBody(answer)
	return succeed[Published](c, answer)
}

// Send publishes many pings in one request, in their order, and yields what
// became of each, in the same order, while it goes on. Pings that are refused
// yield a result with an Error; a yielded error ends the stream, and those
// pings that had no result by then may or may not have been published: give
// them keys, and send them again.
//
// It takes pings no faster than the node publishes them, from a goroutine of
// its own, and may have taken more than it can send when the stream ends early.
// There may be hours between two: a blank line now and then keeps the stream.
func (c *Client) Send(ctx context.Context, pings iter.Seq[NewPing]) iter.Seq2[SendResult, error] {
	return func(yield func(SendResult, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		r, w := io.Pipe()
		defer func() { _ = r.Close() }() // ends the writer; never fails
		sent := make(chan int, 1)
		go writePings(w, pings, sent)
		go beat(ctx, w)
		answered, err := c.sendLines(ctx, r, yield)
		if err == nil {
			select {
			case n := <-sent:
				if n == answered {
					return
				}
			default:
			}
			err = io.ErrUnexpectedEOF
		}
		if !errors.Is(err, errStopped) {
			yield(SendResult{}, fmt.Errorf("after %d pings: %w", answered, err))
		}
	}
}

// errStopped is what sendLines returns when nobody wants more.
var errStopped = errors.New("stopped")

// writePings writes a line for each ping, and tells how many they were if all
// could be written.
func writePings(w *io.PipeWriter, pings iter.Seq[NewPing], sent chan<- int) {
	encoder := json.NewEncoder(w)
	n := 0
	for p := range pings {
		if err := encoder.Encode(p); err != nil {
			w.CloseWithError(err)
			return
		}
		n++
	}
	sent <- n
	_ = w.Close() // never fails
}

// beatEvery is how often a stream of pings says that it is alive: the node gives
// up on one that says nothing for 30 s.
const beatEvery = 10 * time.Second

// beat writes blank lines, which are none to the node, until ctx ends.
func beat(ctx context.Context, w *io.PipeWriter) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if _, err := w.Write([]byte("\n")); err != nil {
			return // the stream has ended
		}
	}
}

func (c *Client) sendLines(ctx context.Context, body io.Reader, yield func(SendResult, error) bool) (answered int, err error) {
	answer, err := c.upload(ctx, "/pings", body)
	if err != nil {
		return 0, err
	}
	defer closeBody(answer)
	if answer.StatusCode != http.StatusOK {
		return 0, problem(answer)
	}
	for line, err := range eachLine(answer.Body) {
		if err != nil {
			return answered, err
		}
		var r SendResult
		if err := json.Unmarshal(line, &r); err != nil {
			return answered, fmt.Errorf("reading a result: %w", err)
		}
		answered++
		r.Line = answered // the node counts blank lines, too
		if !yield(r, nil) {
			return answered, errStopped
		}
	}
	return answered, nil
}

func withQuery(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}
