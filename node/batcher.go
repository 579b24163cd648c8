package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"p2ping/node/entry"
)

// Errors of Publish, beside those that wrap entry.ErrInvalid (the text is at
// fault) and ledger.ErrFull (the disk is).
var (
	// ErrBusy is returned when so many pings wait to be published that one
	// more would have to be kept in memory without bound. Nothing was
	// published: try again in a moment.
	ErrBusy = errors.New("too many pings are waiting to be published")
	// ErrStopped is returned once the node stops. The ping was not published.
	ErrStopped = errors.New("the node is stopping")
)

// Bounds of what waits in the batcher. The count leaves room for the largest
// entry 64 times over, the bytes for as many full ones.
const (
	maxWaiting      = 64 * entry.MaxPings
	maxWaitingBytes = 64 * entry.MaxData
)

// waiting is one ping on its way into an entry, and where its caller waits.
type waiting struct {
	ping entry.Ping
	done chan publishResult // buffered: the batcher never blocks on a caller
}

type publishResult struct {
	published Published
	err       error
}

// batcher groups pings into entries. There is no timer: one entry is under
// way at a time, and whatever arrives meanwhile goes into the next one. So an
// idle node adds no delay, and a busy one pays one signature, one message and
// one disk write for many pings.
type batcher struct {
	now     func() time.Time
	publish func(ctx context.Context, pings []entry.Ping) ([]Published, error)

	wake chan struct{} // holds a token while queue may be non-empty

	mu      sync.Mutex
	queue   []*waiting
	bytes   int
	stopped bool
}

func newBatcher(now func() time.Time, publish func(context.Context, []entry.Ping) ([]Published, error)) *batcher {
	return &batcher{now: now, publish: publish, wake: make(chan struct{}, 1)}
}

// submit queues one text and waits until it was published and stored, or
// until ctx ends. A ping that its caller gave up on while it still waited is
// taken back; one that was under way already may be published all the same,
// which the error then says.
func (b *batcher) submit(ctx context.Context, text string) (Published, error) {
	w := &waiting{
		ping: entry.Ping{Text: text, SentAt: b.now().UnixMicro()},
		done: make(chan publishResult, 1),
	}
	if err := w.ping.Check(); err != nil {
		return Published{}, err
	}
	if err := b.add(w); err != nil {
		return Published{}, err
	}
	select {
	case r := <-w.done:
		return r.published, r.err
	case <-ctx.Done():
		if b.remove(w) {
			return Published{}, fmt.Errorf("waiting to publish: %w: nothing was published", context.Cause(ctx))
		}
		return Published{}, fmt.Errorf("publishing: %w: the ping may have been published all the same", context.Cause(ctx))
	}
}

func (b *batcher) add(w *waiting) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := w.ping.MaxEncodedSize()
	switch {
	case b.stopped:
		return ErrStopped
	case len(b.queue) >= maxWaiting || b.bytes+size > maxWaitingBytes:
		return ErrBusy
	}
	b.queue = append(b.queue, w)
	b.bytes += size
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// remove takes w out of the queue and reports whether it was still there.
func (b *batcher) remove(w *waiting) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.queue {
		if other == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.bytes -= w.ping.MaxEncodedSize()
			return true
		}
	}
	return false
}

// take removes from the queue's head as many pings as fit into one entry.
func (b *batcher) take() []*waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.queue) && n < entry.MaxPings {
		size += b.queue[n].ping.MaxEncodedSize()
		if size > entry.MaxData {
			break
		}
		n++
		b.bytes -= b.queue[n-1].ping.MaxEncodedSize()
	}
	batch := b.queue[:n:n]
	b.queue = b.queue[n:]
	if len(b.queue) == 0 {
		b.queue = nil // let go of the array that batch lives in
	}
	return batch
}

// run publishes until ctx ends, then answers whatever still waits with
// ErrStopped. What is under way when ctx ends is finished first.
func (b *batcher) run(ctx context.Context) {
	defer b.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		for batch := b.take(); len(batch) > 0; batch = b.take() {
			b.flush(ctx, batch)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// flush publishes one batch and tells each caller its own result.
func (b *batcher) flush(ctx context.Context, batch []*waiting) {
	pings := make([]entry.Ping, len(batch))
	for i, w := range batch {
		pings[i] = w.ping
	}
	published, err := b.publish(context.WithoutCancel(ctx), pings)
	for i, w := range batch {
		r := publishResult{err: err}
		if err == nil {
			r.published = published[i]
		}
		w.done <- r
	}
}

func (b *batcher) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	for _, w := range b.queue {
		w.done <- publishResult{err: ErrStopped}
	}
	b.queue, b.bytes = nil, 0
}
