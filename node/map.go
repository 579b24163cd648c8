package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"p2ping/node/status"
)

// wireMap makes the part that tells peers of the node, and asks them.
func (n *Node) wireMap(cfg Config) (err error) {
	n.mapper, err = status.New(status.Config{
		Host:   n.host,
		Topic:  n.topic,
		Report: n.status,
		Member: n.gossip.members.has,
		Scout:  cfg.Scout,
		Silent: cfg.NoStatus,
		Logger: n.logger,
	})
	if err != nil {
		return fmt.Errorf("starting the status protocol: %w", err)
	}
	return nil
}

// Map returns a map of the network: what this node sees, and what all those
// tell that it hears of, some seconds old at most; see [status.Mapper.Map]. It
// takes at most 15 seconds, and fails with ErrStopped, or when ctx ends first. The
// result is shared: it must not be changed.
func (n *Node) Map(ctx context.Context) (status.Map, error) {
	m, err := n.mapper.Map(ctx)
	if errors.Is(err, status.ErrClosed) {
		err = ErrStopped
	}
	return m, err
}

// MapProgress returns how far the map under way is.
func (n *Node) MapProgress() status.Progress { return n.mapper.Progress() }

// status is what the node is willing to tell: nothing that its peers could not
// find out. Mesh peers come first.
func (n *Node) status() status.Report {
	held := n.ledger.State()
	r := status.Report{Agent: UserAgent(n.version), Entries: int64(held.Entries), Pings: int64(held.Pings)}
	for _, id := range n.topicPeers() {
		r.Peers = append(r.Peers, status.Peer{
			ID:     id,
			InMesh: n.tracer.inMesh(id),
			RTT:    n.host.Peerstore().LatencyEWMA(id),
		})
	}
	slices.SortStableFunc(r.Peers, func(a, b status.Peer) int {
		switch {
		case a.InMesh == b.InMesh:
			return 0
		case a.InMesh:
			return -1
		}
		return 1
	})
	return r
}
