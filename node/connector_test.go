package node

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// startConnector runs a connector until stop, which waits for it.
func startConnector(t *testing.T, h host.Host, logger *slog.Logger, bootstrap ...Bootstrap) (_ *connector, stop func()) {
	t.Helper()
	if logger == nil {
		logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	c := newConnector(connectorConfig{
		Host:      h,
		Bootstrap: bootstrap,
		Dialer:    newTestDialer(t, h, nil, logger),
		Logger:    logger,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		c.run(ctx)
		close(done)
	}()
	return c, func() {
		cancel()
		<-done
	}
}

// TestConnectorOutlivesItsPeer starts before its peer, and loses it twice.
func TestConnectorOutlivesItsPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		key := newKey(t)
		b := Bootstrap{Addr: simAddr(1), ID: idOf(t, key)}
		c, stop := startConnector(t, net.host(2, nil), nil, b)
		defer stop()
		time.Sleep(time.Minute)
		s := c.state()[0]
		if s.Connected || s.Attempts < 5 || s.LastError == "" || s.Addr != b.String() || s.PeerID != b.ID {
			t.Errorf("before there is a peer: %+v", s)
		}
		for i := range 3 {
			hub := net.host(1, key)
			time.Sleep(15 * time.Second)
			s = c.state()[0]
			if !s.Connected || s.Attempts != 0 || s.LastError != "" || !s.NextTry.IsZero() {
				t.Errorf("connection %d, 15 s after the peer came: %+v", i, s)
			}
			hub.Close()
			time.Sleep(time.Second)
			if s = c.state()[0]; s.Connected {
				t.Errorf("1 s after the peer went: %+v", s)
			}
			time.Sleep(time.Duration(i) * time.Hour)
		}
	})
}

// TestConnectorMutual has two peers name each other and start at the same time,
// then lose the connection: there must never be two.
func TestConnectorMutual(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			net := newSimulated(t)
			keys := []crypto.PrivKey{newKey(t), newKey(t)}
			hosts := []host.Host{net.host(1, keys[0]), net.host(2, keys[1])}
			for i, h := range hosts {
				_, stop := startConnector(t, h, slog.New(slog.DiscardHandler), Bootstrap{Addr: simAddr(2 - i), ID: idOf(t, keys[1-i])})
				defer stop()
			}
			for i := range 4 {
				time.Sleep(2 * minGrace)
				conns := hosts[0].Network().ConnsToPeer(hosts[1].ID())
				if len(conns) != 1 {
					t.Fatalf("%d connections, not 1, after %d losses", len(conns), i)
				}
				time.Sleep(lasting)
				hosts[i%2].Network().ClosePeer(hosts[1-i%2].ID())
			}
		})
	}
}

// TestConnectorOneSided is named by nobody: it must dial, whatever its ID.
func TestConnectorOneSided(t *testing.T) {
	low, high := keysInOrder(t)
	for _, keys := range [][2]crypto.PrivKey{{low, high}, {high, low}} {
		synctest.Test(t, func(t *testing.T) {
			net := newSimulated(t)
			net.host(1, keys[0])
			c, stop := startConnector(t, net.host(2, keys[1]), nil, Bootstrap{Addr: simAddr(1), ID: idOf(t, keys[0])})
			defer stop()
			time.Sleep(2*minGrace + 100*time.Millisecond)
			if !c.state()[0].Connected {
				t.Errorf("%+v", c.state())
			}
		})
	}
}

// TestConnectorLearns is given an address without an ID, of a peer that is not
// there yet.
func TestConnectorLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		c, stop := startConnector(t, net.host(2, nil), nil, Bootstrap{Addr: simAddr(1)})
		defer stop()
		time.Sleep(time.Minute)
		if s := c.state()[0]; s.PeerID != "" || s.LastError == "" {
			t.Errorf("%+v", s)
		}
		first := net.host(1, nil)
		time.Sleep(15 * time.Second)
		if s := c.state()[0]; !s.Connected || s.PeerID != first.ID() {
			t.Errorf("%+v, not %s", s, first.ID())
		}
		first.Close()
		second := net.host(1, nil)
		time.Sleep(15 * time.Second)
		if s := c.state()[0]; s.Connected || s.PeerID != first.ID() || !strings.Contains(s.LastError, second.ID().String()) {
			t.Errorf("after another took its place: %+v", s)
		}
	})
}

// TestConnectorLearnsOfACaller is given an address without an ID, of a peer that
// calls first: it remembers who it is all the same.
func TestConnectorLearnsOfACaller(t *testing.T) {
	low, high := keysInOrder(t)
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		first := net.host(1, low)
		self := net.host(2, high) // which leaves the other time to dial
		c, stop := startConnector(t, self, nil, Bootstrap{Addr: simAddr(1)})
		defer stop()
		time.Sleep(minGrace / 2)
		if s := c.state()[0]; s.PeerID != first.ID() || isConnected(self, first.ID()) {
			t.Fatalf("before it calls: %+v", s)
		}
		connectHosts(t, first, self)
		time.Sleep(lasting)
		if s := c.state()[0]; !s.Connected {
			t.Errorf("after it called: %+v", s)
		}
		first.Close()
		second := net.host(1, nil)
		time.Sleep(15 * time.Second)
		if s := c.state()[0]; s.Connected || s.PeerID != first.ID() || !strings.Contains(s.LastError, second.ID().String()) {
			t.Errorf("after another took its place: %+v", s)
		}
	})
}

// TestConnectorIsNoPest dials a peer that closes every connection at once.
func TestConnectorIsNoPest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		hub := net.host(1, nil)
		var mu sync.Mutex
		conns := 0
		hub.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, conn network.Conn) {
			mu.Lock()
			defer mu.Unlock()
			conns++
			go conn.Close()
		}})
		c, stop := startConnector(t, net.host(2, nil), slog.New(slog.DiscardHandler), Bootstrap{Addr: simAddr(1), ID: hub.ID()})
		defer stop()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if least, most := 100, 600; conns < least || conns > most {
			t.Errorf("%d connections in 10 min, not %d to %d: %+v", conns, least, most, c.state())
		}
	})
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.all {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// TestConnectorLetsAFullPeerBe has a peer close the connection every minute, as
// a hub does that has more than its share.
func TestConnectorLetsAFullPeerBe(t *testing.T) {
	for _, enough := range []bool{true, false} {
		t.Run(fmt.Sprintf("enough=%t", enough), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newSimulated(t)
				hub := net.host(1, nil)
				h := net.host(2, nil)
				var mu sync.Mutex
				has := enough
				c := newConnector(connectorConfig{
					Host:      h,
					Bootstrap: []Bootstrap{{Addr: simAddr(1), ID: hub.ID()}},
					Dialer:    newTestDialer(t, h, nil, nil),
					Logger:    testLogger(t),
					Enough: func() bool {
						mu.Lock()
						defer mu.Unlock()
						return has
					},
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { c.run(ctx); close(done) }()
				defer func() { cancel(); <-done }()

				connections := 0
				for range 6 * 60 {
					time.Sleep(time.Minute)
					if isConnected(hub, h.ID()) {
						connections++
						hub.Network().ClosePeer(h.ID())
					}
				}
				if enough && (connections < patient || connections > 20) || !enough && connections < 350 {
					t.Errorf("%d connections in six hours", connections)
				}
				mu.Lock()
				has = false
				mu.Unlock()
				time.Sleep(15 * time.Second)
				if !isConnected(hub, h.ID()) {
					t.Error("not connected when it is needed")
				}
			})
		})
	}
}

func TestFullDelay(t *testing.T) {
	for _, tt := range []struct {
		n         int
		low, high time.Duration
	}{
		{0, 30 * time.Second, time.Minute},
		{3, 4 * time.Minute, 8 * time.Minute},
		{1000, 30 * time.Minute, time.Hour},
	} {
		if low, high := fullDelay(tt.n, 0), fullDelay(tt.n, 1); low != tt.low || high != tt.high {
			t.Errorf("the delay %d is %v to %v, want %v to %v", tt.n, low, high, tt.low, tt.high)
		}
	}
}

// TestConnectorSaysItOnce checks what is logged, and how often the hopeless is
// tried.
func TestConnectorSaysItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		key := newKey(t)
		h := net.host(1, key)
		other := net.host(2, nil)
		net.host(3, key)
		nobody, err := peer.Decode(testPeer)
		if err != nil {
			t.Fatal(err)
		}
		log := &lines{}
		c, stop := startConnector(t, h, slog.New(slog.NewTextHandler(log, nil)),
			Bootstrap{Addr: simAddr(2), ID: nobody},
			Bootstrap{Addr: simAddr(9), ID: nobody},
			Bootstrap{Addr: simAddr(1)},
			Bootstrap{Addr: simAddr(9), ID: h.ID()},
			Bootstrap{Addr: simAddr(3)},
			Bootstrap{Addr: simAddr(2), ID: other.ID()},
		)
		defer stop()
		time.Sleep(10 * time.Minute)
		states := c.state()
		for i, want := range []struct {
			text     string // of the log line and the state
			attempts [2]int
		}{
			{"wrong peer ID", [2]int{9, 11}},
			{"no answer", [2]int{50, 200}},
			{"one of its own addresses; remove it from the bootstrap peers", [2]int{1, 1}},
			{"give it a key of its own, else remove the address from the bootstrap peers", [2]int{1, 1}},
			{"another node uses this identity", [2]int{9, 11}},
		} {
			s := states[i]
			if s.Connected || !strings.Contains(s.LastError, want.text) {
				t.Errorf("%+v lacks %q", s, want.text)
			}
			if s.Attempts < want.attempts[0] || s.Attempts > want.attempts[1] {
				t.Errorf("%s: %d attempts, not %v", s.Addr, s.Attempts, want.attempts)
			}
			if n := log.count(want.text); n != 1 {
				t.Errorf("%q logged %d times, not once", want.text, n)
			}
		}
		if !states[5].Connected {
			t.Errorf("the others kept it from the right one: %+v", states[5])
		}
	})
}

func TestRetryDelay(t *testing.T) {
	for _, tt := range []struct {
		n      int
		absent time.Duration
		err    error
		most   time.Duration
	}{
		{0, 0, nil, time.Second},
		{1, 0, nil, 2 * time.Second},
		{2, 0, nil, 4 * time.Second},
		{3, 0, nil, recentCap},
		{1000, recentFor - 1, nil, recentCap},
		{1000, recentFor, nil, absentCap},
		{1000, absentFor, nil, missingCap},
		{math.MaxInt, 1000 * time.Hour, nil, missingCap},
		{0, 1000 * time.Hour, nil, time.Second},
		{0, 0, errWrongPeer, wrongRetry},
		{0, 0, ErrTwin, wrongRetry},
	} {
		if d := retryDelay(tt.n, tt.absent, tt.err, 0); d != minRetry && tt.err == nil {
			t.Errorf("%+v: at least %s", tt, d)
		}
		if d := retryDelay(tt.n, tt.absent, tt.err, 1); d != tt.most {
			t.Errorf("%+v: at most %s", tt, d)
		}
	}
	// Full jitter: all of the range is used, evenly.
	const seed, n = 2, 10_000
	r := rand.New(rand.NewPCG(seed, seed))
	var sum time.Duration
	for range n {
		sum += retryDelay(9, 0, nil, r.Float64())
	}
	if mean := sum / n; mean < recentCap*48/100 || mean > recentCap*52/100 {
		t.Errorf("seed %d: the mean of %d delays up to %s is %s", seed, n, recentCap, mean)
	}
}

func TestGrace(t *testing.T) {
	for _, tt := range []struct {
		self, other peer.ID
		last        direction
		waits       bool
	}{
		{"a", "b", dialledByNobody, false},
		{"b", "a", dialledByNobody, true},
		{"a", "b", dialledByUs, false},
		{"b", "a", dialledByUs, false},
		{"a", "b", dialledByThem, true},
		{"b", "a", dialledByThem, true},
		{"a", "b", dialledByBoth, false},
		{"b", "a", dialledByBoth, true},
	} {
		least, most := grace(tt.self, tt.other, tt.last, 0), grace(tt.self, tt.other, tt.last, 1)
		if tt.waits && (least != minGrace || most != 2*minGrace) || !tt.waits && (least != 0 || most != 0) {
			t.Errorf("%+v: %s to %s", tt, least, most)
		}
	}
}
