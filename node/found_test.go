package node

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
)

// TestManyOnLoopback starts 50 nodes at one address, each told of the first
// alone.
func TestManyOnLoopback(t *testing.T) {
	if testing.Short() {
		t.Skip("50 nodes take some seconds")
	}
	const count = 50
	loopback := []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0"), ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")}
	nodes := make([]*Node, count)
	var bootstrap []Bootstrap
	start := time.Now()
	for i := range nodes {
		h := startHost(t, HostConfig{Key: newKey(t), Listen: loopback})
		nodes[i] = startNode(t, h, Config{Bootstrap: bootstrap})
		if i == 0 {
			bootstrap = []Bootstrap{{Addr: h.Addrs()[0], ID: h.ID()}}
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	const patience = 3 * time.Minute // of a busy machine: how long it takes is for TestManyFindEnough to say
	deadline := time.After(patience)
	for slices.ContainsFunc(nodes, func(n *Node) bool { return !n.enough() }) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not all have enough peers after %v", patience)
		}
	}
	t.Logf("%d nodes have enough peers after %v", count, time.Since(start))
	for i, n := range nodes[1:] {
		if got := n.gossip.members.count(); got >= count-1 {
			t.Errorf("node %d has %d peers", i+1, got)
		}
	}
}

func TestWhyNotMet(t *testing.T) {
	for _, tt := range []struct {
		remembered      int
		lastError, want string
	}{
		{1, "", "connecting to 1 remembered peer"},
		{2, "", "connecting to 2 remembered peers"},
		{1, "no answer in time", "the 1 remembered peer is not reached: no answer in time"},
		{2, "no answer in time", "of 2 remembered peers none is reached: no answer in time"},
	} {
		if got := whyNotMet(tt.remembered, tt.lastError); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// logbook keeps what nodes log.
type logbook struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *logbook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), s)
}

// place is where a test's node lives: an address, a key, a directory, a log.
type place struct {
	addr int
	key  crypto.PrivKey
	dir  *os.Root
	log  *logbook
}

func newPlace(t *testing.T, addr int) *place {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return &place{addr: addr, key: newKey(t), dir: dir, log: &logbook{}}
}

func (p *place) id(t *testing.T) peer.ID {
	t.Helper()
	return idOf(t, p.key)
}

// live starts the place's node, told of others. What it returns ends it.
func (p *place) live(t *testing.T, s *simulated, others ...*place) (*Node, func()) {
	t.Helper()
	h := s.host(p.addr, p.key)
	var bootstrap []Bootstrap
	for _, o := range others {
		bootstrap = append(bootstrap, Bootstrap{Addr: simAddr(o.addr), ID: o.id(t)})
	}
	l := openLedger(t, 0)
	n, err := New(Config{Host: h, Ledger: l, Bootstrap: bootstrap, Dir: p.dir, Logger: slog.New(slog.NewTextHandler(p.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- n.Run(t.Context()) }()
	end := sync.OnceFunc(func() {
		for _, err := range []error{n.Close(), <-ran, h.Close(), l.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(end)
	return n, end
}

// sees fails unless a node has exactly these peers on its topic.
func sees(t *testing.T, n *Node, want ...*place) {
	t.Helper()
	var ids []string
	for _, p := range want {
		ids = append(ids, p.id(t).String())
	}
	var got []string
	for _, p := range n.Peers() {
		if p.OnTopic {
			got = append(got, p.PeerID.String())
		}
	}
	slices.Sort(ids)
	slices.Sort(got)
	if !slices.Equal(got, ids) {
		t.Errorf("%s sees %v, want %v", n.host.ID(), got, ids)
	}
}

func TestPeerChangesItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		a, b, c := newPlace(t, 1), newPlace(t, 2), newPlace(t, 3)
		an, _ := a.live(t, s)
		_, end := b.live(t, s, a)
		cn, endC := c.live(t, s, a)
		time.Sleep(time.Minute)
		sees(t, cn, a, b)
		end()
		b.addr = 4
		bn, _ := b.live(t, s) // told of nobody: it remembers
		time.Sleep(time.Minute)
		sees(t, an, b, c)
		sees(t, bn, a, c)
		sees(t, cn, a, b)
		endC()
		cn, _ = c.live(t, s) // and so does c, the new address
		time.Sleep(time.Minute)
		sees(t, cn, a, b)
		for _, p := range cn.Peers() {
			if p.Found != "remembered" && p.Found != "incoming" {
				t.Errorf("%s was found by %q", p.PeerID, p.Found)
			}
		}
		if want := simAddr(4).String(); !strings.Contains(readAll(t, c.dir, "peers.json"), want) {
			t.Errorf("%s is not remembered", want)
		}
	})
}

func readAll(t *testing.T, dir *os.Root, name string) string {
	t.Helper()
	b, err := dir.ReadFile(name)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestNewKeyAtTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		a, b, c := newPlace(t, 1), newPlace(t, 2), newPlace(t, 3)
		an, _ := a.live(t, s)
		_, end := b.live(t, s, a)
		cn, _ := c.live(t, s, a)
		time.Sleep(time.Minute)
		end()
		old := b.id(t)
		b.key = newKey(t)
		bn, _ := b.live(t, s, a)
		time.Sleep(2 * time.Minute)
		sees(t, an, b, c)
		sees(t, bn, a, c)
		sees(t, cn, a, b)
		for _, p := range []*place{a, c} {
			if got := p.log.count("another peer answers where one was known to be"); got != 1 {
				t.Errorf("it was said %d times", got)
			}
			if file := readAll(t, p.dir, "peers.json"); strings.Contains(file, old.String()) {
				t.Errorf("the old key is still remembered: %s", file)
			}
		}
	})
}

func TestTwoNodesWithOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		hub, a, twin := newPlace(t, 1), newPlace(t, 2), newPlace(t, 3)
		twin.key = a.key
		hub.live(t, s)
		an, _ := a.live(t, s, hub)
		tn, end := twin.live(t, s, hub)
		time.Sleep(10 * time.Minute)
		const clear = "another node uses this node's identity"
		if a.log.count(clear) == 0 || twin.log.count(clear) == 0 {
			t.Errorf("not both say so:\n%s\n%s", a.log.all.String(), twin.log.all.String())
		}
		t.Logf("it was said %d and %d times", a.log.count(clear), twin.log.count(clear))
		t.Log(an.Readiness(), tn.Readiness())
		end()
		time.Sleep(10 * time.Minute)
		sees(t, an, hub)
		if r := an.Readiness(); !r.Ready || fmt.Sprint(r.Reasons) != "[]" {
			t.Errorf("with the twin gone: %+v", r)
		}
	})
}

// TestDialsFoundPeersWhereTheyAreTold has a peer that was found have claimed to be
// elsewhere too, while it was connected.
func TestDialsFoundPeersWhereTheyAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		a, b := s.host(1, newKey(t)), s.host(2, newKey(t))
		claims := []ma.Multiaddr{ma.StringCast("/dns4/inside.example.org/tcp/80"), ma.StringCast("/ip4/192.168.1.1/tcp/80")}
		a.Peerstore().AddAddrs(b.ID(), claims, peerstore.RecentlyConnectedAddrTTL)
		d := &dialer{host: a, logger: testLogger(t)}
		if err := d.dialFound(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: []ma.Multiaddr{simAddr(2)}}); err != nil {
			t.Error(err)
		}
		for _, addr := range a.Peerstore().Addrs(b.ID()) {
			if slices.ContainsFunc(claims, addr.Equal) {
				t.Errorf("%s is dialled", addr)
			}
		}
	})
}
