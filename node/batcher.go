package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Bounds of waiting for callers to come back.
const (
	// maxGather bounds each time: 64 callers who are on this machine take 2 to 3 ms
	// on two cores.
	maxGather = 5 * time.Millisecond
	// maxDoubt bounds how many entries in a row are not waited after.
	maxDoubt = 63
)

// submission is what one caller handed in.
type submission struct {
	pings     []entry.Ping  // guarded by batcher.mu: those that wait still
	under     int           // guarded by batcher.mu: how many are under way
	published []Published   // of its first pings; written by run before done is closed
	err       error         // why the others were not; likewise
	done      chan struct{} // closed when nothing waits or is under way
}

// batch is what goes into one entry.
type batch struct {
	pings []entry.Ping
	parts []part // whose they are, in order
}

// part is a number of pings of one submission.
type part struct {
	from *submission
	n    int
}

// batcher groups pings into entries. One entry is under way at a time, and
// whatever arrives meanwhile goes into the next one. So an idle node adds no
// delay, and a busy one pays one signature, one message and one disk write for
// many pings.
type batcher struct {
	publish func(ctx context.Context, pings []entry.Ping) ([]Published, error)

	wake chan struct{} // holds a token once there is work for run

	mu      sync.Mutex
	queue   []*submission
	waiting int // pings in queue
	bytes   int // their bound in an entry
	// awaited is how many submissions run waits for; so many pings as fill an
	// entry wake it as well.
	awaited int
	stopped bool

	// doubt is after how many entries more run waits for callers again, as those
	// of the last time did not come back, and doubted how many it was then. Both
	// belong to run.
	doubt, doubted int
}

func newBatcher(publish func(context.Context, []entry.Ping) ([]Published, error)) *batcher {
	return &batcher{publish: publish, wake: make(chan struct{}, 1), awaited: 1}
}

// submit queues pings and waits until they were published and stored, in their
// order, or until ctx ends. It returns those that were, which come first, and
// why the others were not. What its caller gave up on while it still waited
// is taken back; what was under way already may be published all the same,
// which the error then says. The batcher keeps pings, which must not change.
func (b *batcher) submit(ctx context.Context, pings []entry.Ping) ([]Published, error) {
	for _, p := range pings {
		if err := p.Check(); err != nil {
			return nil, err
		}
	}
	if len(pings) == 0 {
		return nil, nil
	}
	s := &submission{pings: pings, done: make(chan struct{})}
	if err := b.add(s); err != nil {
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

func (b *batcher) add(s *submission) error {
	size := sizeOf(s.pings)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stopped:
		return ErrStopped
	case b.waiting+len(s.pings) > maxWaiting || b.bytes+size > maxWaitingBytes:
		return ErrBusy
	}
	b.queue = append(b.queue, s)
	b.waiting += len(s.pings)
	b.bytes += size
	if b.enough() {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// enough reports whether run waits for nobody else. mu is held.
func (b *batcher) enough() bool {
	return len(b.queue) >= b.awaited || b.waiting >= entry.MaxPings || b.bytes >= entry.MaxData
}

// sizeOf bounds what pings need in an entry.
func sizeOf(pings []entry.Ping) int {
	size := 0
	for _, p := range pings {
		size += p.MaxEncodedSize()
	}
	return size
}

// withdraw takes what still waits of s out of the queue. It reports false when
// a part of it is under way.
func (b *batcher) withdraw(s *submission) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(s)
	return s.under == 0
}

// drop takes what still waits of s out of the queue. mu is held.
func (b *batcher) drop(s *submission) {
	if i := slices.Index(b.queue, s); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
	b.waiting -= len(s.pings)
	b.bytes -= sizeOf(s.pings)
	s.pings = nil
}

// take removes from the queue's head as many pings as fit into one entry.
func (b *batcher) take() batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	var t batch
	for room := entry.MaxData; len(b.queue) > 0; {
		s := b.queue[0]
		n, size := fitting(s.pings, entry.MaxPings-len(t.pings), room)
		if n == 0 {
			break
		}
		t.add(part{s, n})
		room -= size
		b.waiting -= n
		b.bytes -= size
		if len(s.pings) > 0 {
			break
		}
		b.queue[0], b.queue = nil, b.queue[1:]
	}
	if len(b.queue) == 0 {
		b.queue = nil // let go of its array
	}
	return t
}

// fitting returns how many of the first pings, most at most, fit into a room of
// so many bytes, and how many bytes they need.
func fitting(pings []entry.Ping, most, room int) (n, size int) {
	for n < min(len(pings), most) {
		next := pings[n].MaxEncodedSize()
		if size+next > room {
			break
		}
		size += next
		n++
	}
	return n, size
}

// add moves a submission's first pings into the batch. batcher.mu is held.
func (t *batch) add(p part) {
	s := p.from
	pings := s.pings[:p.n:p.n]
	if s.pings, s.under = s.pings[p.n:], p.n; len(t.parts) == 0 {
		t.pings = pings // no copy of what is one caller's
	} else {
		t.pings = append(t.pings, pings...)
	}
	t.parts = append(t.parts, p)
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
		for t := b.take(); len(t.pings) > 0; t = b.take() {
			b.flush(ctx, t)
			b.gather(ctx, len(t.parts))
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// gather lets the callers of the last entry, where they were several, come back
// with what they have next, beside those that wait already: else those of two
// entries in turn would wait for each other, and each entry have half as many
// pings as it could. When not most of them come in time, it is left alone for one
// entry, the next time for three, then seven and so on, so that those who never
// come back cost the others little.
func (b *batcher) gather(ctx context.Context, callers int) {
	if callers < 2 {
		return
	}
	if b.doubt > 0 {
		b.doubt--
		return
	}
	if b.await(callers) {
		timeout := time.NewTimer(maxGather)
		select {
		case <-b.wake:
		case <-timeout.C:
		case <-ctx.Done():
		}
		timeout.Stop()
	}
	if 2*b.missing() < callers {
		b.doubted = 0
	} else {
		b.doubted = min(2*b.doubted+1, maxDoubt)
		b.doubt = b.doubted
	}
}

// await has run woken when so many submissions more are there, or enough for an
// entry. It reports false when there are already.
func (b *batcher) await(more int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.awaited = len(b.queue) + more
	if b.enough() {
		return false
	}
	select {
	case <-b.wake: // by those who are there
	default:
	}
	return true
}

// missing ends the wait, and returns how many of the submissions that were
// awaited did not come.
func (b *batcher) missing() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	missing := 0
	if !b.enough() {
		missing = b.awaited - len(b.queue)
	}
	b.awaited = 1
	return missing
}

// flush publishes one batch and tells its callers. Of a submission of which one
// ping failed, nothing more is published, so that order holds.
func (b *batcher) flush(ctx context.Context, t batch) {
	published, err := b.publish(context.WithoutCancel(ctx), t.pings)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range t.parts {
		s := p.from
		s.under = 0
		switch {
		case err != nil:
			s.err = err
			b.drop(s)
		case s.published == nil:
			s.published, published = published[:p.n:p.n], published[p.n:]
		default:
			s.published, published = append(s.published, published[:p.n]...), published[p.n:]
		}
		if len(s.pings) == 0 {
			close(s.done)
		}
	}
}

func (b *batcher) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	for _, s := range b.queue {
		s.err = ErrStopped
		close(s.done)
	}
	b.queue, b.waiting, b.bytes = nil, 0, 0
}
