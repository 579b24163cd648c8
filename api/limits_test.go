package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"p2ping/api/client"
)

func TestTheLimiterGivesEveryAddressItsRate(t *testing.T) {
	l := newLimiter(2) // one each half second, 20 at once
	now := time.Unix(1700000000, 0)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	taken := 0
	for l.take(a, now) == 0 {
		taken++
	}
	if taken != 20 {
		t.Errorf("%d at once, not 20", taken)
	}
	if wait := l.take(a, now); wait != 500*time.Millisecond {
		t.Errorf("to wait: %s", wait)
	}
	if l.take(b, now) != 0 {
		t.Error("one address pays for another")
	}
	if l.take(a, now.Add(500*time.Millisecond)) != 0 || l.take(a, now.Add(500*time.Millisecond)) == 0 {
		t.Error("half a second is not worth one ping")
	}
	for i := range 3 * maxTracked {
		l.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
		if len(l.paid) > maxTracked {
			t.Fatalf("%d addresses are remembered", len(l.paid))
		}
	}
}

func TestTooManyPingsAreRefused(t *testing.T) {
	a := start(t, func(cfg *Config) { cfg.PublishRate = 0.001 }) // one in 17 minutes
	if _, err := a.Ping(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	answer, body := a.do(t, "POST", "/ping", "y")
	if answer.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	checkProblem(t, answer, body)
	if got := len(a.node.texts(t)); got != 1 {
		t.Errorf("%d pings", got)
	}
}

func TestWaitingForTheLimiterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0.1)
		r := &http.Request{RemoteAddr: "192.0.2.1:5"}
		begin := time.Now()
		for range 3 {
			if err := l.wait(t.Context(), r, time.Now); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("three pings at one in ten seconds took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if l.wait(ctx, r, time.Now) == nil {
			t.Error("it did not end")
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimitListener(inner, 1)
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for range 2 { // a connection that is closed, even twice, makes room for one
		dial()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		conn.Close()
	}
	dial()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dial() // waits in the kernel: there is no room
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	l.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second connection was accepted: %v", err)
	}
}

func TestListenOnAUnixSocket(t *testing.T) {
	n := newFakeNode(t)
	s, err := New(Config{Node: n})
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/api.sock"
	l, err := Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); err == nil {
		t.Error("the socket was taken from a living process")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c, err := client.New(client.Config{URL: "unix:" + path})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Ping(t.Context(), "x"); err != nil || p.Text != "x" {
		t.Errorf("got %+v, %v", p, err)
	}
	c.Close()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}

	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if l, err = Listen(t.Context(), "unix:"+path); err != nil {
		t.Errorf("a dead socket is in the way: %v", err)
	} else {
		l.Close()
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); err == nil {
		t.Error("a file was taken for a socket")
	}
}
