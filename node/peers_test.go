package node

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

func TestListPeers(t *testing.T) {
	for _, tt := range []struct{ transport, security string }{
		{"tcp", "/tls/1.0.0"}, {"ws", "/tls/1.0.0"}, {"quic-v1", "/tls/1.0.0"},
	} {
		t.Run(tt.transport, func(t *testing.T) {
			a := startHost(t, HostConfig{})
			b := startHost(t, HostConfig{Version: "9\x1b[31m" + strings.Repeat("x", 200)})
			addr := addrOf(t, b, tt.transport)
			before := time.Now()
			if err := a.Connect(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: []ma.Multiaddr{addr}}); err != nil {
				t.Fatal(err)
			}
			yes := func(peer.ID) bool { return true }
			no := func(peer.ID) bool { return false }
			got := listPeers(a, peerView{OnTopic: yes, InMesh: no, Bootstrap: no})
			if len(got) != 1 {
				t.Fatalf("%+v", got)
			}
			p := got[0]
			if p.PeerID != b.ID() || len(p.Addresses) != 1 || p.Addresses[0] != addr.String() || p.Direction != "outbound" ||
				p.Transport != tt.transport || p.Security != tt.security || !p.OnTopic || p.InMesh || p.Found != "manual" ||
				p.ConnectedAt.Before(before.Add(-time.Second)) || p.ConnectedAt.After(time.Now()) {
				t.Errorf("%+v", p)
			}
			if len(p.Agent) != maxAgent || !strings.HasPrefix(p.Agent, "p2ping/9\uFFFD[31mxxx") {
				t.Errorf("agent %q", p.Agent)
			}
			for _, q := range listPeers(b, peerView{OnTopic: yes, InMesh: no, Bootstrap: no}) {
				if q.PeerID != a.ID() || q.Direction != "inbound" || q.Found != "incoming" || q.Transport != tt.transport {
					t.Errorf("the other side: %+v", q)
				}
			}
			start := time.Now()
			if rtt, err := pingOnce(t.Context(), a, b.ID()); err != nil || rtt <= 0 || rtt > time.Since(start) {
				t.Errorf("ping: %s, %v", rtt, err)
			}
		})
	}
}

// TestListPeersLeavesOutPassersBy has a scout and a member connect. The scout is
// not taken for a peer, unless it stays; whatever it calls itself.
func TestListPeersLeavesOutPassersBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		n := startNode(t, s.host(1, newKey(t)), Config{})
		member, stranger := s.host(2, newKey(t)), s.host(3, newKey(t))
		joinTopic(t, member, DefaultTopic)
		connectHosts(t, member, n.host)
		connectHosts(t, stranger, n.host)
		listed := func() (ids []peer.ID) {
			for _, p := range n.Peers() {
				ids = append(ids, p.PeerID)
			}
			return ids
		}
		time.Sleep(fleeting / 2)
		if got := listed(); len(got) != 1 || got[0] != member.ID() {
			t.Errorf("%v are listed, want the member %s alone", got, member.ID())
		}
		time.Sleep(fleeting)
		if got := listed(); len(got) != 2 {
			t.Errorf("%v are listed, want the stranger %s too, as it stays", got, stranger.ID())
		}
		dialled := s.host(4, newKey(t))
		connectHosts(t, n.host, dialled)
		if got := listed(); len(got) != 3 {
			t.Errorf("%v are listed, want %s too, as the node has dialled it", got, dialled.ID())
		}
	})
}

func TestPrintable(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"p2ping/1", 128, "p2ping/1"},
		{"a\nb\x00c\u202ed\xff", 128, "a\uFFFDb\uFFFDc\uFFFDd\uFFFD"},
		{"é", 1, ""},
		{"aé", 2, "a"},
		{"aé", 3, "aé"},
	} {
		if got := printable(tt.in, tt.n); got != tt.want {
			t.Errorf("printable(%q, %d) = %q", tt.in, tt.n, got)
		}
	}
}

// TestPinger measures a peer 10 ms away, then the peer stops answering.
func TestPinger(t *testing.T) {
	for name, kept := range map[string]bool{"kept": true, "not kept": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newSimulated(t)
				a, b := net.host(1, nil), net.host(2, nil)
				connectHosts(t, a, b)
				p := newPinger(pingerConfig{Host: a, Keep: func(peer.ID) bool { return kept }, Logger: testLogger(t)})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					p.run(ctx)
					close(done)
				}()
				time.Sleep(firstPing + 2*pingTick)
				if rtt := a.Peerstore().LatencyEWMA(b.ID()); rtt < 20*time.Millisecond || rtt > 30*time.Millisecond {
					t.Errorf("a round trip of %s, not 20 ms and a little", rtt)
				}
				var asked atomic.Int32
				b.SetStreamHandler(ping.ID, func(s network.Stream) {
					asked.Add(1)
					<-ctx.Done()
					s.Reset()
				})
				time.Sleep(pingInterval + goneAfter*(pingTimeout+pingTick))
				if connected := isConnected(a, b.ID()); connected == kept {
					t.Errorf("still connected: %v", connected)
				}
				// One that isn't kept is asked now and then, sooner at first.
				if n := asked.Load(); n == 0 || n > goneAfter && kept || n > goneAfter+1 {
					t.Errorf("%d pings", n)
				}
				cancel()
				<-done
			})
		})
	}
}

// TestPingerClosesWhatWasSilent has a peer start again, elsewhere, while it is asked
// in vain over its old connection: the new one is left alone.
func TestPingerClosesWhatWasSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		key := newKey(t)
		a, before := net.host(1, nil), net.host(2, key)
		connectHosts(t, a, before)
		before.SetStreamHandler(ping.ID, func(s network.Stream) {
			io.Copy(io.Discard, s)
		})
		p := newPinger(pingerConfig{Host: a, Keep: func(peer.ID) bool { return true }, Logger: testLogger(t)})
		p.peers[before.ID()] = &pinged{missed: goneAfter - 1}
		done := make(chan struct{})
		go func() {
			p.measure(t.Context(), before.ID())
			close(done)
		}()
		time.Sleep(pingTimeout / 2)
		after := net.host(3, key)
		connectHosts(t, after, a)
		<-done
		time.Sleep(time.Second)
		if n := len(before.Network().Conns()); n != 0 {
			t.Errorf("%d connections to the one that is silent", n)
		}
		if n := len(after.Network().Conns()); n != 1 {
			t.Errorf("%d connections to the one that is there", n)
		}
		if p.missed(before.ID(), true) {
			t.Error("what the one missed counts against the other")
		}
	})
}

// TestPingerHasNoRoom has other measurements take all places when peers are due, and
// leave room for one: it is for the one that is kept.
func TestPingerHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		a, b := net.host(1, nil), net.host(2, nil)
		connectHosts(t, a, b)
		for i := range 4 {
			other := net.host(3+i, nil)
			connectHosts(t, a, other)
			other.SetStreamHandler(ping.ID, func(s network.Stream) { io.Copy(io.Discard, s) })
		}
		p := newPinger(pingerConfig{Host: a, Keep: func(id peer.ID) bool { return id == b.ID() }, Logger: testLogger(t)})
		for range maxPings {
			p.slots <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			p.run(ctx)
			close(done)
		}()
		time.Sleep(firstPing + 2*pingTick + pingTick/2) // amid a round, others would take the place
		<-p.slots
		time.Sleep(2 * pingTick)
		if p.rtt(b.ID()) == 0 {
			t.Error("the peer is not measured as soon as there is room")
		}
		cancel()
		<-done
	})
}
