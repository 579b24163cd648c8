package node

import (
	"context"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"p2ping/node/status"
)

// startAttacker makes a host that nothing holds back.
func startAttacker(t *testing.T) host.Host {
	t.Helper()
	h, err := newStack(stackConfig{key: newKey(t), limits: &network.NullResourceManager{}, conns: connmgr.NullConnMgr{}, outward: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestFloodOfStreams has peers open hundreds of streams of each protocol, and of
// none, and say one byte on them, and never hang up. The node keeps few of them,
// and meanwhile serves others.
func TestFloodOfStreams(t *testing.T) {
	n := startNode(t, startHost(t, HostConfig{}), Config{})
	for _, p := range append(n.host.Mux().Protocols(), "") {
		attacker := startAttacker(t)
		at := peer.AddrInfo{ID: n.host.ID(), Addrs: []ma.Multiaddr{addrOf(t, n.host, "tcp")}}
		if err := attacker.Connect(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		conn := attacker.Network().ConnsToPeer(at.ID)[0]
		for range maxPeerStreams + maxPeerStreams/2 {
			if err := openStream(t.Context(), conn, p); err != nil {
				break // the node has hung up
			}
		}
		held := 0
		for _, c := range n.host.Network().ConnsToPeer(attacker.ID()) {
			for _, s := range c.GetStreams() {
				if s.Stat().Direction == network.DirInbound {
					held++
				}
			}
		}
		if held > maxPeerStreams {
			t.Errorf("a peer holds %d streams of %q", held, p)
		}
	}
	honest := startNode(t, startHost(t, HostConfig{}), Config{})
	connectHosts(t, honest.host, n.host)
	for { // until it is no stranger to the node, as all the others are
		changed := n.gossip.members.changes()
		if n.gossip.members.has(honest.host.ID()) {
			break
		}
		<-changed
	}
	ping, err := honest.Publish(t.Context(), "anybody?")
	if err != nil {
		t.Fatal(err)
	}
	if got := honest.Receipts(t.Context(), ping, 1); len(got) != 1 || got[0].PeerID != n.host.ID() {
		t.Errorf("receipts %v, want that of the node", got)
	}
	if m, err := honest.Map(t.Context()); err != nil || !slices.ContainsFunc(m.Nodes, func(o status.Node) bool {
		return o.PeerID == n.host.ID() && o.State == status.Answered
	}) {
		t.Errorf("the map is %+v, %v: want the node on it, and that it answers", m, err)
	}
}

// openStream opens a stream of a protocol, of none if it is "", without waiting
// for what the other side says to that.
func openStream(ctx context.Context, conn network.Conn, p protocol.ID) error {
	s, err := conn.NewStream(ctx)
	if err != nil {
		return err
	}
	if p == "" {
		return nil
	}
	_, err = multistream.NewMSSelect(s, p).Write([]byte{0})
	return err
}
