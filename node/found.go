package node

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/discovery"
)

// enoughPeers is how many topic peers make a node stop insisting on a bootstrap
// peer that keeps closing the connection, as one does that has no more room:
// the least that its mesh is kept at.
const enoughPeers = 6

// wireDiscovery makes the part that finds peers beyond the bootstrap peers.
func (n *Node) wireDiscovery(cfg Config) (err error) {
	if cfg.NoDiscovery {
		return nil
	}
	n.finder, err = discovery.New(discovery.Config{
		Host:       n.host,
		Topic:      n.topic,
		Peers:      n.topicPeers,
		Member:     n.gossip.members.has,
		Dial:       n.dialer.dialFound,
		Kept:       n.connector.keeps,
		Dir:        cfg.Dir,
		MDNS:       cfg.MDNS,
		Logger:     n.logger,
		Registerer: cfg.Registerer,
	})
	if err != nil {
		return fmt.Errorf("starting discovery: %w", err)
	}
	return nil
}

// dialFound connects to a peer that may have been told of us at the same time:
// one of the two leaves the other a moment to dial first.
func (d *dialer) dialFound(ctx context.Context, info peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if pause := grace(d.host.ID(), info.ID, dialledByNobody, rand.Float64()); pause > 0 && !wait(ctx, pause) {
		return ctx.Err()
	}
	if isConnected(d.host, info.ID) {
		return nil
	}
	return d.dialOnly(ctx, info)
}

// dialOnly connects to a peer that is not connected, at the addresses given and
// nowhere else. By itself libp2p would also dial all that the peer has ever said
// of where it is: hundreds of addresses, of anybody, and names, which lead
// wherever their owner wants them to, such as into the network that this node is
// in.
func (d *dialer) dialOnly(ctx context.Context, info peer.AddrInfo) error {
	d.host.Peerstore().ClearAddrs(info.ID)
	d.clearBackoff(info.ID)
	return d.host.Connect(ctx, info)
}

// enough reports whether the node can do without its bootstrap peers.
func (n *Node) enough() bool { return n.gossip.members.count() >= enoughPeers }

// found says how a peer was found, if discovery did it; else "".
func (n *Node) found(id peer.ID) string {
	if n.finder == nil {
		return ""
	}
	source, _ := n.finder.Found(id)
	return source.String()
}

// whyAlone says in words what discovery has to do with having no peers.
func (n *Node) whyAlone() []string {
	if n.finder == nil {
		return []string{"discovery is off"}
	}
	state := n.finder.State()
	var reasons []string
	if state.Twin {
		reasons = append(reasons, "another node uses this node's identity: give one of them a key of its own")
	}
	if state.Remembered > 0 {
		reasons = append(reasons, whyNotMet(state.Remembered, state.LastError))
	}
	if state.MDNS {
		reasons = append(reasons, "nobody on this topic was found on the local network by mDNS")
	}
	return reasons
}

// whyNotMet says how it stands with remembered peers, one or more, of which none is
// connected. lastError is "" until an attempt has failed.
func whyNotMet(remembered int, lastError string) string {
	switch {
	case remembered == 1 && lastError == "":
		return "connecting to 1 remembered peer"
	case remembered == 1:
		return "the 1 remembered peer is not reached: " + lastError
	case lastError == "":
		return fmt.Sprintf("connecting to %d remembered peers", remembered)
	}
	return fmt.Sprintf("of %d remembered peers none is reached: %s", remembered, lastError)
}
