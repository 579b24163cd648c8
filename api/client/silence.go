package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrSilent is wrapped by errors of calls that a node has taken, and said nothing
// to for two minutes: it hangs, or is no node. It may have done what it was asked
// for. Sending and importing many are not bounded that way.
var ErrSilent = errors.New("the node does not answer")

// patience is how long a node may say nothing, in an answer or before it. An
// answer takes half a minute at most; looking through millions of pings for those
// of an author, of whom there is none, takes longer.
const patience = 2 * time.Minute

// ask makes a request that the node is to answer soon.
func (c *Client) ask(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watched{ctx: ctx, cancel: cancel, timer: time.AfterFunc(patience, func() { cancel(c.silentFor(patience)) })}
	answer, err := c.do(req.WithContext(ctx))
	w.timer.Stop()
	if err != nil {
		err = w.explain(err)
		cancel(nil)
		return nil, err
	}
	w.body, answer.Body = answer.Body, w
	return answer, nil
}

// silentFor is why a request ends to which the node said nothing for so long.
func (c *Client) silentFor(d time.Duration) error {
	return fmt.Errorf("%w: %s has said nothing for %s", ErrSilent, c.where, d)
}

// watched is the body of an answer that comes without long pauses. How long its
// reader pauses does not matter.
type watched struct {
	body   io.ReadCloser
	ctx    context.Context //nolint:containedctx // the request's, which its body outlives
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(patience)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = w.explain(err)
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.body.Close()
}

// explain says that a request failed for the node's silence, if it did.
func (w *watched) explain(err error) error {
	if cause := context.Cause(w.ctx); errors.Is(cause, ErrSilent) {
		return cause
	}
	return err
}
