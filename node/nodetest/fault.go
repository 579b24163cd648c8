package nodetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
)

// The protocols whose streams [Network.ResetStreams] is usually after.
const (
	PubSub  = "/meshsub/"
	CatchUp = "/p2ping/catchup/"
)

// Latency sets the one-way delay of every hop, 10 ms unless set.
func (n *Network) Latency(d time.Duration) { n.wire.set(func() { n.wire.latency = d }) }

// SlowOneWay sets the delay of what a sends to b.
func (n *Network) SlowOneWay(a, b int, d time.Duration) {
	n.wire.set(func() { n.wire.slow[hopBetween(a, b)] = d })
}

// Reorder delays each packet by up to d more, drawn at random, so that packets
// overtake one another.
func (n *Network) Reorder(d time.Duration) { n.wire.set(func() { n.wire.jitter = d }) }

// Loss drops the given share of all packets.
func (n *Network) Loss(share float64) { n.wire.set(func() { n.wire.loss = share }) }

// Duplicate sends the given share of all packets twice.
func (n *Network) Duplicate(share float64) { n.wire.set(func() { n.wire.double = share }) }

// CutOneWay drops what a sends to b.
func (n *Network) CutOneWay(a, b int) {
	n.wire.set(func() { n.wire.cut[hopBetween(a, b)] = true })
}

// Cut drops what a and b send to each other.
func (n *Network) Cut(a, b int) {
	n.CutOneWay(a, b)
	n.CutOneWay(b, a)
}

// Partition cuts the network into the groups given; nodes in none of them form
// one more. Cuts made before stay.
func (n *Network) Partition(groups ...[]int) {
	side := func(i int) int {
		return slices.IndexFunc(groups, func(g []int) bool { return slices.Contains(g, i) })
	}
	for a := range n.Nodes {
		for b := range a {
			if side(a) != side(b) {
				n.Cut(a, b)
			}
		}
	}
}

// Heal undoes all cuts, and nothing else.
func (n *Network) Heal() { n.wire.set(func() { clear(n.wire.cut) }) }

// Calm takes every fault off the wire: cuts, loss, copies, reordering, delays.
func (n *Network) Calm() {
	n.wire.set(func() {
		w := n.wire
		clear(w.cut)
		clear(w.slow)
		w.loss, w.double, w.jitter = 0, 0, 0
	})
}

// ResetStreams resets all streams between a and b, both ways, whose protocol
// begins with prefix, at a's end. It returns how many there were.
func (n *Network) ResetStreams(a, b int, prefix string) int {
	return n.reset(a, b, prefix, network.DirUnknown)
}

// Deaf resets the stream on which a speaks pubsub to b, and leaves the one on
// which b speaks to a: pubsub alone never notices, and b hears nothing from a
// while both are connected.
func (n *Network) Deaf(a, b int) int {
	return n.reset(a, b, PubSub, network.DirOutbound)
}

func (n *Network) reset(a, b int, prefix string, dir network.Direction) int {
	if !n.Nodes[a].Up() {
		return 0
	}
	count := 0
	for _, conn := range n.Nodes[a].life.host.Network().ConnsToPeer(n.Nodes[b].ID) {
		for _, s := range conn.GetStreams() {
			if !strings.HasPrefix(string(s.Protocol()), prefix) || dir != network.DirUnknown && s.Stat().Direction != dir {
				continue
			}
			_ = s.ResetWithError(network.StreamErrorCode(0)) // resetting a dead stream is fine
			count++
		}
	}
	return count
}

// Connect dials from a to b, as a bootstrap peer would be, and returns libp2p's
// answer.
func (n *Network) Connect(a, b int) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Second)
	defer cancel()
	from, to := n.Nodes[a], n.Nodes[b]
	from.life.host.Peerstore().AddAddr(to.ID, quicAddr(b), peerstore.PermanentAddrTTL)
	_, err := from.life.host.Network().DialPeer(network.WithForceDirectDial(ctx, "nodetest"), to.ID)
	return err
}

// Disconnect closes every connection between a and b at a's end.
func (n *Network) Disconnect(a, b int) {
	if n.Nodes[a].Up() {
		_ = n.Nodes[a].life.host.Network().ClosePeer(n.Nodes[b].ID) // broken already is fine
	}
}

// DoubleDial makes a and b dial each other at the same instant, which makes two
// connections between them where there was one or none. It returns how many
// there are then.
func (n *Network) DoubleDial(a, b int) int {
	if !n.Nodes[a].Up() || !n.Nodes[b].Up() {
		return 0
	}
	n.Disconnect(a, b)
	n.Disconnect(b, a)
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.Connect(a, b) }) // faults may well forbid it
	wg.Go(func() { _ = n.Connect(b, a) })
	wg.Wait()
	time.Sleep(100 * time.Millisecond) // the accepting end learns of it last
	return n.Connections(a, b)
}

// Connections counts the connections that a has to b now.
func (n *Network) Connections(a, b int) int {
	if !n.Nodes[a].Up() {
		return 0
	}
	return len(n.Nodes[a].life.host.Network().ConnsToPeer(n.Nodes[b].ID))
}

// hopBetween is what a sends to b.
func hopBetween(a, b int) hop { return hop{ipOf(address(a)), ipOf(address(b))} }
