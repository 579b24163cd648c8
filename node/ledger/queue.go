package ledger

import (
	"context"
	"runtime"
	"sync"
	"time"

	"p2ping/node/entry"
)

// Bounds of the queue of callers and of what one commit takes.
const (
	// maxWaiting bounds the callers that wait; more block before they join.
	maxWaiting = 1024
	// maxBatchEntries and maxBatchBytes end a commit's batch, which has always
	// at least one call: 8 MiB take a slow disk some 100 ms.
	maxBatchEntries = 8192
	maxBatchBytes   = 8 << 20
)

// call is one Append on its way.
type call struct {
	via        Via
	receivedAt time.Time
	entries    []*entry.Entry

	records []Record // results, written by the leader before done is closed
	err     error

	done  chan struct{} // closed when the results are there
	lead  chan struct{} // closed when the call has become the leader
	taken bool          // guarded by queue.mu: part of a batch
	leads bool          // guarded by queue.mu: lead is closed
}

// queue lets concurrent callers share commits without a goroutine or a timer:
// the first caller becomes the leader, takes all that wait, commits for them,
// and makes the first of those that came meanwhile the next leader. So a lone
// caller never waits, and batches grow with the load.
type queue struct {
	slots chan struct{} // a token for each caller in the queue

	mu      sync.Mutex
	waiting []*call       // guarded by mu; the leader, while it hasn't taken its batch, is first
	busy    bool          // guarded by mu: there is a leader
	closed  bool          // guarded by mu
	drained chan struct{} // closed when closed and not busy
}

func (q *queue) init() {
	q.slots = make(chan struct{}, maxWaiting)
	q.drained = make(chan struct{})
}

// join queues a call and waits. It returns true when the caller must lead,
// false when its results are there.
func (q *queue) join(ctx context.Context, c *call) (lead bool, err error) {
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	defer func() { <-q.slots }()
	if lead, err := q.enter(c); lead || err != nil {
		return lead, err
	}
	select {
	case <-c.done:
		return false, nil
	case <-c.lead:
		return true, nil
	case <-ctx.Done():
		if q.leave(c) {
			return false, context.Cause(ctx)
		}
	}
	<-c.done // it is part of a commit: that ends soon, and says what became of it
	return false, nil
}

func (q *queue) enter(c *call) (lead bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, ErrClosed
	}
	c.done, c.lead = make(chan struct{}), make(chan struct{})
	q.waiting = append(q.waiting, c)
	if q.busy {
		return false, nil
	}
	q.busy, c.leads = true, true
	return true, nil
}

// leave removes a call that nobody has taken, handing on the lead if it had
// just been given that. It returns false when the call was taken.
func (q *queue) leave(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.taken {
		return false
	}
	for i, other := range q.waiting {
		if other == c {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			break
		}
	}
	if c.leads {
		q.next()
	}
	return true
}

// take returns the leader's batch: all that wait, within bounds.
func (q *queue) take() []*call {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, entries, bytes := 0, 0, 0
	for n < len(q.waiting) && (n == 0 || entries < maxBatchEntries && bytes < maxBatchBytes) {
		c := q.waiting[n]
		c.taken = true
		entries += len(c.entries)
		for _, e := range c.entries {
			bytes += len(e.Raw)
		}
		n++
	}
	batch := append([]*call(nil), q.waiting[:n]...)
	q.waiting = append(q.waiting[:0], q.waiting[n:]...)
	clear(q.waiting[len(q.waiting):cap(q.waiting)])
	return batch
}

// finish wakes the batch's callers and hands on the lead.
func (q *queue) finish(batch []*call) {
	for _, c := range batch {
		close(c.done)
	}
	if len(batch) > 1 {
		// Let them bring what they want next before the next commit begins:
		// else those of two commits in turn wait for each other.
		runtime.Gosched()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next()
}

// next makes the first that waits the leader. The caller holds q.mu.
func (q *queue) next() {
	if len(q.waiting) > 0 {
		q.waiting[0].leads = true
		close(q.waiting[0].lead)
		return
	}
	q.busy = false
	if q.closed {
		close(q.drained)
	}
}

// close refuses further calls and waits for those in the queue. It returns
// false when it was called before.
func (q *queue) close() bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		<-q.drained
		return false
	}
	q.closed = true
	if !q.busy {
		close(q.drained)
	}
	q.mu.Unlock()
	<-q.drained
	return true
}
