package streams

import (
	"context"
	"sync"
)

// Work is what a service has under way. The zero value is no Work.
type Work struct {
	ctx  context.Context
	stop context.CancelFunc

	mu     sync.Mutex
	closed bool           // guarded by mu
	group  sync.WaitGroup // added to under mu, while not closed
}

// NewWork returns one of which nothing is under way. The caller must Close it.
func NewWork() *Work {
	ctx, stop := context.WithCancel(context.Background())
	return &Work{ctx: ctx, stop: stop}
}

// Context returns one that ends with Close.
func (w *Work) Context() context.Context { return w.ctx }

// Begin reports whether the caller may go on, which it may not after Close. If
// so, Close waits for it, and it must call End.
func (w *Work) Begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.group.Add(1)
	return true
}

// End ends what a Begin began.
func (w *Work) End() { w.group.Done() }

// Close ends the context, lets nobody begin any more and waits for who has. It
// may be called more than once.
func (w *Work) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.stop()
	w.group.Wait()
}
