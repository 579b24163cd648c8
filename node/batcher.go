package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

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

// submission is what one caller handed in.
type submission struct {
	pending   int           // guarded by batcher.mu: pings that wait or are under way
	published []Published   // of its first pings; written by run before done is closed
	err       error         // why the others were not; likewise
	done      chan struct{} // closed when nothing is pending
}

// waiting is one ping on its way into an entry.
type waiting struct {
	ping entry.Ping
	from *submission
}

// batcher groups pings into entries. There is no timer: one entry is under
// way at a time, and whatever arrives meanwhile goes into the next one. So an
// idle node adds no delay, and a busy one pays one signature, one message and
// one disk write for many pings.
type batcher struct {
	publish func(ctx context.Context, pings []entry.Ping) ([]Published, error)

	wake chan struct{} // holds a token while queue may be non-empty

	mu      sync.Mutex
	queue   []waiting
	bytes   int
	stopped bool
}

func newBatcher(publish func(context.Context, []entry.Ping) ([]Published, error)) *batcher {
	return &batcher{publish: publish, wake: make(chan struct{}, 1)}
}

// submit queues pings and waits until they were published and stored, in their
// order, or until ctx ends. It returns those that were, which come first, and
// why the others were not. What its caller gave up on while it still waited
// is taken back; what was under way already may be published all the same,
// which the error then says.
func (b *batcher) submit(ctx context.Context, pings []entry.Ping) ([]Published, error) {
	for _, p := range pings {
		if err := p.Check(); err != nil {
			return nil, err
		}
	}
	if len(pings) == 0 {
		return nil, nil
	}
	s := &submission{pending: len(pings), published: make([]Published, 0, len(pings)), done: make(chan struct{})}
	if err := b.add(s, pings); err != nil {
		return nil, err
	}
	select {
	case <-s.done:
		return s.published, s.err
	case <-ctx.Done():
		return b.abandon(s, context.Cause(ctx))
	}
}

// abandon ends the wait for s, and says what became of it.
func (b *batcher) abandon(s *submission, cause error) ([]Published, error) {
	withdrawn := b.withdraw(s)
	select {
	case <-s.done: // it was over in the same instant: that is the answer
		return s.published, s.err
	default:
	}
	switch {
	case !withdrawn:
		return nil, fmt.Errorf("publishing: %w: the ping may have been published all the same", cause)
	case len(s.published) == 0:
		return nil, fmt.Errorf("waiting to publish: %w: nothing was published", cause)
	}
	return s.published, fmt.Errorf("waiting to publish: %w: the rest was not published", cause)
}

func (b *batcher) add(s *submission, pings []entry.Ping) error {
	size := 0
	for _, p := range pings {
		size += p.MaxEncodedSize()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stopped:
		return ErrStopped
	case len(b.queue)+len(pings) > maxWaiting || b.bytes+size > maxWaitingBytes:
		return ErrBusy
	}
	for _, p := range pings {
		b.queue = append(b.queue, waiting{p, s})
	}
	b.bytes += size
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// withdraw takes what still waits of s out of the queue. It reports false when
// a part of it is under way.
func (b *batcher) withdraw(s *submission) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = slices.DeleteFunc(b.queue, func(w waiting) bool {
		if w.from != s {
			return false
		}
		b.bytes -= w.ping.MaxEncodedSize()
		s.pending--
		return true
	})
	return s.pending == 0
}

// take removes from the queue's head as many pings as fit into one entry.
func (b *batcher) take() []waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.queue) && n < entry.MaxPings {
		next := b.queue[n].ping.MaxEncodedSize()
		if size+next > entry.MaxData {
			break
		}
		size += next
		n++
	}
	batch := b.queue[:n:n]
	b.queue = b.queue[n:]
	b.bytes -= size
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

// flush publishes one batch and tells its callers. Pings of a submission of
// which an earlier one failed are not published any more, so that order holds.
func (b *batcher) flush(ctx context.Context, batch []waiting) {
	pings := make([]entry.Ping, 0, len(batch))
	for _, w := range batch {
		if w.from.err == nil {
			pings = append(pings, w.ping)
		}
	}
	var published []Published
	var err error
	if len(pings) > 0 {
		published, err = b.publish(context.WithoutCancel(ctx), pings)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range batch {
		switch {
		case w.from.err != nil:
		case err != nil:
			w.from.err = err
		default:
			w.from.published = append(w.from.published, published[0])
			published = published[1:]
		}
		b.settle(w.from)
	}
}

// settle counts one ping of s as dealt with. mu is held.
func (b *batcher) settle(s *submission) {
	if s.pending--; s.pending == 0 {
		close(s.done)
	}
}

func (b *batcher) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	for _, w := range b.queue {
		w.from.err = cmp.Or(w.from.err, ErrStopped)
		b.settle(w.from)
	}
	b.queue, b.bytes = nil, 0
}
