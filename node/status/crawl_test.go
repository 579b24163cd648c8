package status

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// scout is a host that remembers what it is told to dial.
type scout struct {
	host.Host
	mu     sync.Mutex
	dialed []peer.AddrInfo // guarded by mu
	closed bool
}

func (s *scout) Connect(ctx context.Context, info peer.AddrInfo) error {
	s.mu.Lock()
	s.dialed = append(s.dialed, info)
	s.mu.Unlock()
	return s.Host.Connect(ctx, info)
}

func (s *scout) Close() error {
	s.closed = true
	return s.Host.Close()
}

// crawler makes a Mapper on the first host, whose only crawl is made by the
// last one.
func (l *lan) crawler() (*Mapper, *scout) {
	l.t.Helper()
	s := &scout{Host: l.hosts[len(l.hosts)-1]}
	l.guest = s.ID()
	m := l.mapper(0, func(c *Config) { c.Scout = func() (host.Host, error) { return s, nil } })
	return m, s
}

// stateAt returns what a map says of the i-th host.
func (l *lan) stateAt(m Map, i int) State {
	l.t.Helper()
	at := slices.IndexFunc(m.Nodes, func(n Node) bool { return n.PeerID == l.hosts[i].ID() })
	if at < 0 {
		l.t.Fatalf("host %d is not on the map: %+v", i, m)
	}
	return m.Nodes[at].State
}

// liar has the i-th host answer with a report, whatever it is.
func (l *lan) liar(i int, r Report) {
	r.TopicPeers = max(r.TopicPeers, len(r.Peers))
	l.hosts[i].SetStreamHandler(Protocol, func(s network.Stream) {
		s.Write(r.encode())
		s.Close()
	})
}

// told is a peer as a liar tells of it.
func told(id peer.ID, addrs ...ma.Multiaddr) Peer { return Peer{ID: id, Addrs: addrs} }

// TestCrawl makes a map of a line from its end. Nobody is connected to anybody
// new after it.
func TestCrawl(t *testing.T) {
	apart(t, 6, func(l *lan) {
		m, s := l.crawler()
		for i := 1; i < 5; i++ {
			l.mapper(i, func(c *Config) { c.Silent = i == 4 })
		}
		for i := range 4 {
			l.link(i+1, i)
		}
		time.Sleep(time.Second)
		if p := m.Progress(); p != (Progress{}) {
			l.t.Errorf("progress before the first map: %+v", p)
		}
		got := mapOf(l.t, m)
		for i, want := range []State{Answered, Answered, Answered, Answered, Silent} {
			if state := l.stateAt(got, i); state != want {
				l.t.Errorf("host %d: %v, want %v", i, state, want)
			}
		}
		if got.Complete || len(got.Edges) != 4 || got.Asked != 3 || got.Left != 0 || got.EndedEarly {
			l.t.Errorf("%+v", got)
		}
		if p := m.Progress(); p != (Progress{Asked: 3, Known: 4}) {
			l.t.Errorf("progress after it: %+v", p)
		}
		if len(s.dialed) != 2 || !s.closed {
			l.t.Errorf("dialled %v, closed: %t", s.dialed, s.closed)
		}
		time.Sleep(time.Second)
		for i, want := range []int{1, 2, 2, 2, 1} {
			if n := len(l.hosts[i].Network().Peers()); n != want {
				l.t.Errorf("host %d has %d peers, want %d", i, n, want)
			}
		}
	})
}

// TestNobodyIsTakenForAnother has a liar name a host that does not answer, at
// the address of one that does.
func TestNobodyIsTakenForAnother(t *testing.T) {
	apart(t, 5, func(l *lan) {
		m, _ := l.crawler()
		l.mapper(2)
		l.link(0, 1)
		l.liar(1, Report{Peers: []Peer{told(l.hosts[3].ID(), l.hosts[2].Addrs()...)}})
		time.Sleep(time.Second)
		if state := l.stateAt(mapOf(l.t, m), 3); state != Unreached {
			l.t.Errorf("who did not answer is %v", state)
		}
	})
}

// TestLiarsHideNobody has one name a wrong address for an honest host that
// another one leads to.
func TestLiarsHideNobody(t *testing.T) {
	apart(t, 5, func(l *lan) {
		m, _ := l.crawler()
		l.mapper(2)
		l.mapper(3)
		l.link(0, 1)
		l.link(0, 2)
		l.link(3, 2)
		l.liar(1, Report{Peers: []Peer{told(l.hosts[3].ID(), l.hosts[1].Addrs()...)}})
		time.Sleep(time.Second)
		if state := l.stateAt(mapOf(l.t, m), 3); state != Answered {
			l.t.Errorf("the honest one is %v", state)
		}
	})
}

// TestNetworksAreNotSearched has a peer on the internet name addresses that are
// nobody's business: none of them is dialled.
func TestNetworksAreNotSearched(t *testing.T) {
	apart(t, 3, func(l *lan) {
		m, s := l.crawler()
		l.link(0, 1)
		var peers []Peer
		for i, text := range []string{
			"/ip4/127.0.0.1/tcp/22", "/ip4/192.168.1.1/tcp/80", "/ip4/10.0.0.1/udp/53/quic-v1", "/ip4/169.254.169.254/tcp/80",
			"/ip6/::1/tcp/22", "/ip6/fe80::1/tcp/22", "/ip6/64:ff9b::7f00:1/tcp/1", "/dns4/localhost/tcp/22", "/ip4/0.0.0.0/tcp/22",
			"/ip4/1.0.0.9/tcp/1/p2p-circuit", "/ip4/224.0.0.1/udp/1/quic-v1", "/unix/x",
		} {
			peers = append(peers, told(testID(l.t, i), ma.StringCast(text)))
		}
		l.liar(1, Report{Peers: peers})
		time.Sleep(time.Second)
		got := mapOf(l.t, m)
		if len(s.dialed) > 0 || got.Asked != 1 || len(got.Nodes) != 2+len(peers) || got.Complete {
			l.t.Errorf("dialled %v, %+v", s.dialed, got)
		}
	})
}

// TestVictimsAreSpared has a liar name ports of a host where nobody answers: at
// most some are dialled, and the map is made in time.
func TestVictimsAreSpared(t *testing.T) {
	apart(t, 5, func(l *lan) {
		m, s := l.crawler()
		l.mapper(2)
		l.mapper(3)
		l.link(0, 1)
		l.link(0, 2)
		l.link(3, 2)
		liar := Report{TopicPeers: 10_000}
		for i := range MaxPeers {
			liar.Peers = append(liar.Peers, told(testID(l.t, i), ma.StringCast(fmt.Sprintf("/ip4/1.0.99.99/udp/%d/quic-v1", i+1))))
		}
		l.liar(1, liar)
		time.Sleep(time.Second)
		got := mapOf(l.t, m)
		if n := len(s.dialed) - 1; n >= maxFailuresAt+maxAsks {
			l.t.Errorf("%d ports were dialled", n)
		}
		if state := l.stateAt(got, 3); state != Answered || got.Complete || got.Left == 0 {
			l.t.Errorf("the honest one is %v, %d left", state, got.Left)
		}
	})
}

// TestCrawlEndsInTime has more than there is time for say nothing.
func TestCrawlEndsInTime(t *testing.T) {
	const slow = 40
	apart(t, slow+3, func(l *lan) {
		m, s := l.crawler()
		over := make(chan struct{})
		defer close(over)
		hub := Report{}
		for i := range slow {
			h := l.hosts[2+i]
			h.SetStreamHandler(Protocol, func(s network.Stream) { <-over; s.Reset() })
			hub.Peers = append(hub.Peers, told(h.ID(), h.Addrs()...))
		}
		l.link(0, 1)
		l.liar(1, hub)
		time.Sleep(time.Second)
		began := time.Now()
		got := mapOf(l.t, m)
		if took := time.Since(began); took > crawlTime+time.Second {
			l.t.Errorf("it took %v", took)
		}
		if !got.EndedEarly || got.Left == 0 || got.Complete || !s.closed || got.Asked >= slow {
			l.t.Errorf("%d asked, %d left, ended early: %t, closed: %t", got.Asked, got.Left, got.EndedEarly, s.closed)
		}
		time.Sleep(keepFor + time.Second)
		if got.Asked != mapOf(l.t, m).Asked { // the scout is used up: a new crawl would ask one
			l.t.Error("a map that took many dials is not kept for longer")
		}
	})
}

// TestNoScout has none, or one that can't be made: peers are asked all the same.
func TestNoScout(t *testing.T) {
	for name, make := range map[string]func() (host.Host, error){
		"none":   nil,
		"broken": func() (host.Host, error) { return nil, fmt.Errorf("no more files") },
	} {
		t.Run(name, func(t *testing.T) {
			apart(t, 3, func(l *lan) {
				m := l.mapper(0, func(c *Config) { c.Scout = make })
				l.mapper(1)
				l.mapper(2)
				l.link(0, 1)
				l.link(2, 1)
				time.Sleep(time.Second)
				got := mapOf(l.t, m)
				if l.stateAt(got, 1) != Answered || l.stateAt(got, 2) != Unasked || got.Complete || got.Left != 1 {
					l.t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestCloseEndsACrawl closes while strangers are asked.
func TestCloseEndsACrawl(t *testing.T) {
	apart(t, 4, func(l *lan) {
		over := make(chan struct{})
		defer close(over)
		m, s := l.crawler()
		l.hosts[2].SetStreamHandler(Protocol, func(s network.Stream) { <-over; s.Reset() })
		l.link(0, 1)
		l.liar(1, Report{Peers: []Peer{told(l.hosts[2].ID(), l.hosts[2].Addrs()...)}})
		time.Sleep(time.Second)
		waiting := make(chan error)
		go func() {
			_, err := m.Map(context.Background())
			waiting <- err
		}()
		time.Sleep(time.Second)
		if p := m.Progress(); p != (Progress{Running: true, Asked: 1, Known: 2}) {
			l.t.Errorf("%+v", p)
		}
		if err := m.Close(); err != nil || !s.closed {
			l.t.Errorf("%v, closed: %t", err, s.closed)
		}
		if err := <-waiting; err == nil {
			l.t.Error("a map after Close")
		}
	})
}
