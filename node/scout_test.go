package node

import (
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// TestScoutIsNobody has a scout connect by each transport: it says what it is,
// listens nowhere and offers nothing.
func TestScoutIsNobody(t *testing.T) {
	h := startHost(t, HostConfig{Key: newKey(t), Listen: loopback()})
	identified, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		t.Fatal(err)
	}
	defer identified.Close()
	for _, transport := range []string{"tcp", "ws", "quic-v1"} {
		scout := startScout(t)
		at := addrOf(t, h, transport)
		if err := scout.Connect(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{at}}); err != nil {
			t.Fatalf("by %s: %v", at, err)
		}
		got := (<-identified.Out()).(event.EvtPeerIdentificationCompleted)
		if got.Peer != scout.ID() || got.AgentVersion != "p2ping-map/1.2" {
			t.Errorf("%s says that it is %q", got.Peer, got.AgentVersion)
		}
		known := []protocol.ID{"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"}
		if slices.ContainsFunc(got.Protocols, func(p protocol.ID) bool { return !slices.Contains(known, p) }) {
			t.Errorf("it speaks %v", got.Protocols)
		}
		if len(got.ListenAddrs) > 0 || len(scout.Network().ListenAddresses()) > 0 {
			t.Errorf("it listens at %v, %v", got.ListenAddrs, scout.Network().ListenAddresses())
		}
	}
}

// TestScoutIsBounded opens more connections than a scout may have.
func TestScoutIsBounded(t *testing.T) {
	limits, err := newScoutLimits()
	if err != nil {
		t.Fatal(err)
	}
	defer limits.Close()
	at := ma.StringCast("/ip4/1.2.3.4/tcp/1")
	if _, err := limits.OpenConnection(network.DirInbound, true, at); err == nil {
		t.Error("somebody may connect to it")
	}
	for i := range 2 * scoutConns {
		if _, err := limits.OpenConnection(network.DirOutbound, true, at); err == nil != (i < scoutConns) {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}

func startScout(t *testing.T) host.Host {
	t.Helper()
	scout, err := NewScout("1.2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := scout.Close(); err != nil {
			t.Error(err)
		}
	})
	return scout
}

// BenchmarkScout makes a scout, asks nobody, and throws it away.
func BenchmarkScout(b *testing.B) {
	for b.Loop() {
		scout, err := NewScout("")
		if err != nil {
			b.Fatal(err)
		}
		if err := scout.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
