package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// defaultMaxConns bounds the connections to one listener.
	defaultMaxConns = 4096
	// maxTracked bounds the addresses that the limiter remembers.
	maxTracked = 4096
	// burst is how much of its rate an address may use at once.
	burst = 10 * time.Second
)

// limiter bounds the rate of pings from each address: every ping costs an
// interval, and the debt of an address may not exceed the burst (the generic
// cell rate algorithm). A nil limiter limits nothing.
type limiter struct {
	interval time.Duration

	mu   sync.Mutex
	paid map[netip.Addr]time.Time // guarded by mu; when each address is free of debt
}

func newLimiter(rate float64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{interval: time.Duration(float64(time.Second) / rate), paid: make(map[netip.Addr]time.Time)}
}

// take charges one ping to an address. If its debt is too high, it charges
// nothing and returns after what time to come back.
func (l *limiter) take(addr netip.Addr, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	paid, known := l.paid[addr]
	if !known && len(l.paid) >= maxTracked {
		l.forget(now)
	}
	if paid.Before(now) {
		paid = now
	}
	if wait = paid.Add(l.interval).Sub(now) - max(burst, l.interval); wait > 0 {
		return wait
	}
	l.paid[addr] = paid.Add(l.interval)
	return 0
}

// forget drops the addresses without debt, or all when there are too many of
// the others: that errs on the side of those who come. The caller holds mu.
func (l *limiter) forget(now time.Time) {
	for addr, paid := range l.paid {
		if paid.Before(now) {
			delete(l.paid, addr)
		}
	}
	if len(l.paid) >= maxTracked {
		clear(l.paid)
	}
}

// check refuses a request that comes too soon.
func (l *limiter) check(r *http.Request, now time.Time) error {
	if l == nil {
		return nil
	}
	if wait := l.take(remote(r), now); wait > 0 {
		return later(http.StatusTooManyRequests, wait, "too many pings from this address", "send more slowly")
	}
	return nil
}

// wait blocks until another ping may come.
func (l *limiter) wait(ctx context.Context, r *http.Request, now func() time.Time) error {
	if l == nil {
		return nil
	}
	for {
		wait := l.take(remote(r), now())
		if wait == 0 {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// remote returns the address a request came from; all who come by a Unix
// socket are one.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// limitListener accepts no more connections than it has places: others wait in
// the kernel's queue, from where idle ones, which the server ends after a
// while, let them in.
type limitListener struct {
	net.Listener
	places chan struct{} // holds one for every open connection
	closed chan struct{}
	once   sync.Once
}

func newLimitListener(l net.Listener, n int) *limitListener {
	return &limitListener{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitConn{Conn: conn, places: l.places}, nil
}

// Close implements net.Listener.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitConn gives its place back when it is closed first.
type limitConn struct {
	net.Conn
	places <-chan struct{}
	once   sync.Once
}

// Close implements net.Conn.
func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.places })
	return err
}
