package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// proxy passes TCP connections on and counts what goes through: every byte that
// two nodes exchange, encryption and framing included, TCP's own headers not.
type proxy struct {
	addr   string // multiaddr that leads through it
	target string // host:port
	bytes  atomic.Int64
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// newProxy makes a proxy in front of a multiaddr of TCP over IPv4. The caller
// closes it.
func newProxy(ctx context.Context, addr string) (*proxy, error) {
	// /ip4/127.0.0.1/tcp/PORT/p2p/ID
	parts := strings.Split(addr, "/")
	if len(parts) < 5 || parts[1] != "ip4" || parts[3] != "tcp" {
		return nil, fmt.Errorf("no proxy for %q: not TCP over IPv4", addr)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	p := &proxy{target: net.JoinHostPort(parts[2], parts[4])}
	// It outlives the context, which ends when its line is ready.
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	parts[4] = port
	p.addr = strings.Join(parts, "/")
	context.AfterFunc(ctx, func() { _ = l.Close() })
	p.work.Go(func() { p.serve(ctx, l) })
	return p, nil
}

func (p *proxy) close() {
	p.cancel()
	p.work.Wait()
}

func (p *proxy) serve(ctx context.Context, l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.pass(ctx, in) })
	}
}

func (p *proxy) pass(ctx context.Context, in net.Conn) {
	defer in.Close() //nolint:errcheck // maybe closed already
	var d net.Dialer
	out, err := d.DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close() //nolint:errcheck // maybe closed already
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, func() {
		_ = in.Close()
		_ = out.Close()
	})
	var both sync.WaitGroup
	both.Go(func() { p.pump(out, in); cancel() })
	both.Go(func() { p.pump(in, out); cancel() })
	both.Wait()
}

// pump copies by hand, as splicing in the kernel counts only at the end.
func (p *proxy) pump(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.bytes.Add(int64(n))
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// through is what went through all proxies of a line.
func (l *line) through() int64 {
	var n int64
	for _, p := range l.proxies {
		n += p.bytes.Load()
	}
	return n
}
