package node

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"
)

// wireConnections makes the parts that get peers and keep them.
func (n *Node) wireConnections(cfg Config) error {
	learned, err := newLearned(cfg.Dir)
	if err != nil {
		return err
	}
	n.dialer = &dialer{host: n.host, learned: learned, logger: n.logger}
	n.connector = newConnector(connectorConfig{
		Host:      n.host,
		Bootstrap: cfg.Bootstrap,
		Dialer:    n.dialer,
		Enough:    n.enough,
		Logger:    n.logger,
	})
	n.watchdog = newWatchdog(watchdogConfig{
		Host:   n.host,
		Dialer: n.dialer,
		// Not members: a peer that announced itself is on the topic by pubsub's
		// events even when no stream to it is open. ListPeers wants both.
		TopicPeers: func() []peer.ID { return n.gossip.topic.ListPeers() },
		Logger:     n.logger,
	})
	n.reached = newReached(n.host, n.now)
	n.pinger = newPinger(pingerConfig{Host: n.host, Keep: n.connector.keeps, Logger: n.logger})
	return nil
}

// Bootstrap returns the state of each bootstrap peer, in the order given.
func (n *Node) Bootstrap() []BootstrapState { return n.connector.state() }

// Peers lists the connected peers, longest connected first.
func (n *Node) Peers() []PeerInfo {
	return listPeers(n.host, peerView{
		OnTopic:   n.gossip.members.has,
		InMesh:    n.tracer.inMesh,
		Bootstrap: n.connector.keeps,
		Found:     n.found,
	})
}

// Connect connects to a peer at once, once: addr is what [ParseBootstrap]
// reads. It returns who answered. It doesn't keep the connection: that is for
// bootstrap peers.
func (n *Node) Connect(ctx context.Context, addr string) (peer.ID, error) {
	return n.dialer.connect(ctx, addr)
}

// streamClosed hears that the stream to a peer broke, which can leave one
// direction deaf while both sides stay connected.
func (n *Node) streamClosed(id peer.ID) { n.watchdog.suspect(id) }
