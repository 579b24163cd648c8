package node

import (
	"context"
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
			for _, q := range listPeers(b, peerView{OnTopic: no, InMesh: no, Bootstrap: no}) {
				if q.PeerID != a.ID() || q.Direction != "inbound" || q.Found != "incoming" || q.Transport != tt.transport {
					t.Errorf("the other side: %+v", q)
				}
			}
			if rtt, err := pingOnce(t.Context(), a, b.ID()); err != nil || rtt <= 0 || rtt > time.Second {
				t.Errorf("ping: %s, %v", rtt, err)
			}
		})
	}
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
