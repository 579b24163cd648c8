package node

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	ma "github.com/multiformats/go-multiaddr"
)

// simulated is a network of hosts in a synctest bubble: real QUIC over a
// simulated wire, 10 ms from anyone to anyone.
type simulated struct {
	t    *testing.T
	wire *simnet.Simnet
}

func newSimulated(t *testing.T) *simulated {
	t.Helper()
	return newSimulatedAt(t, 10*time.Millisecond)
}

// newSimulatedAt is one where anyone is so far from anyone.
func newSimulatedAt(t *testing.T, far time.Duration) *simulated {
	t.Helper()
	s := &simulated{t: t, wire: &simnet.Simnet{
		LatencyFunc: simnet.StaticLatency(far),
		Logger:      slog.New(slog.DiscardHandler), // it reports every packet to a host that is down
	}}
	s.wire.Start()
	t.Cleanup(s.wire.Close)
	return s
}

func simAddr(i int) ma.Multiaddr {
	return ma.StringCast(fmt.Sprintf("/ip4/1.0.0.%d/udp/6001/quic-v1", i))
}

// host starts the i-th host. Who calls it closes it, or the test's end does.
func (s *simulated) host(i int, key crypto.PrivKey) host.Host {
	s.t.Helper()
	link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
	return startHost(s.t, HostConfig{Key: key, Listen: []ma.Multiaddr{simAddr(i)}, QUIC: []quicreuse.Option{
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return sourceIP{1, 0, 0, byte(i)}, nil }),
		quicreuse.OverrideListenUDP(func(_ string, addr *net.UDPAddr) (net.PacketConn, error) {
			return s.wire.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Uplink: link, Downlink: link}), nil
		}),
	}})
}

// sourceIP is where packets to anyone come from.
type sourceIP [4]byte

func (s sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return s[:], nil }

// keysInOrder returns keys whose peer IDs rise.
func keysInOrder(t *testing.T) (low, high crypto.PrivKey) {
	t.Helper()
	low, high = newKey(t), newKey(t)
	if idOf(t, low) > idOf(t, high) {
		low, high = high, low
	}
	return low, high
}

func idOf(t *testing.T, key crypto.PrivKey) peer.ID {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func connectHosts(t *testing.T, a, b host.Host) {
	t.Helper()
	if err := a.Connect(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: listening(b)}); err != nil {
		t.Fatal(err)
	}
}

func testLogger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// testMember is a host on a topic.
type testMember struct {
	host     host.Host
	pubsub   *pubsub.PubSub
	topic    *pubsub.Topic
	sub      *pubsub.Subscription
	watchdog *watchdog
}

func joinTopic(t *testing.T, h host.Host, name string) *testMember {
	t.Helper()
	ps, err := pubsub.NewGossipSub(t.Context(), h, pubsub.WithFloodPublish(true))
	if err != nil {
		t.Fatal(err)
	}
	topic, err := ps.Join(name)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := topic.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	return &testMember{host: h, pubsub: ps, topic: topic, sub: sub}
}

func (m *testMember) has(id peer.ID) bool {
	return slices.Contains(m.topic.ListPeers(), id)
}

// resetPubsub resets the pubsub streams that m opened to a peer, or that the
// peer opened to it.
func (m *testMember) resetPubsub(id peer.ID, dir network.Direction) int {
	n := 0
	for _, c := range m.host.Network().ConnsToPeer(id) {
		for _, s := range c.GetStreams() {
			if len(s.Protocol()) > 9 && s.Protocol()[:9] == "/meshsub/" && s.Stat().Direction == dir {
				s.Reset()
				n++
			}
		}
	}
	return n
}

func (m *testMember) newWatchdog(t *testing.T) *watchdog {
	t.Helper()
	return newWatchdog(watchdogConfig{
		Host:       m.host,
		Dialer:     newTestDialer(t, m.host, nil, nil),
		TopicPeers: m.topic.ListPeers,
		Logger:     testLogger(t),
	})
}
