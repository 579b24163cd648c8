package nodetest

import (
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Node is one place in the network: an identity and an address that outlive
// the hosts and members that come and go there.
type Node struct {
	// Index is the node's place in [Network.Nodes].
	Index int
	// ID is its peer ID, the same after every restart.
	ID peer.ID

	net       *Network
	key       crypto.PrivKey
	bootstrap []int
	skew      time.Duration
	host      *simHost // nil while it is down
}

// Add makes a node that is not started yet and that knows the nodes given as
// its bootstrap peers, which need not exist yet. It returns its index.
func (n *Network) Add(bootstrap ...int) int {
	i := len(n.Nodes)
	key := identity(n.seed, i)
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Nodes = append(n.Nodes, &Node{Index: i, ID: id, net: n, key: key, bootstrap: bootstrap})
	return i
}

// Up reports whether the node is running.
func (d *Node) Up() bool { return d.host != nil }

// Host returns the node's libp2p host, nil while it is down.
func (d *Node) Host() host.Host {
	if d.host == nil {
		return nil
	}
	return d.host.Host
}

// Start starts the nodes given, in that order.
func (n *Network) Start(which ...int) {
	n.t.Helper()
	for _, i := range which {
		d := n.Nodes[i]
		if d.Up() {
			continue
		}
		h, err := n.wire.newHost(d.key, i, nil)
		if err != nil {
			n.t.Fatal(err)
		}
		d.host = h
	}
}

// Stop stops the nodes given cleanly, as SIGTERM would.
func (n *Network) Stop(which ...int) {
	n.t.Helper()
	for _, i := range which {
		d := n.Nodes[i]
		if !d.Up() {
			continue
		}
		if err := d.host.Close(); err != nil {
			n.t.Errorf("closing host %d: %v", i, err)
		}
		d.host = nil
	}
}

// Crash stops the nodes given as a power cut would.
func (n *Network) Crash(which ...int) {
	n.t.Helper()
	for _, i := range which {
		d := n.Nodes[i]
		if !d.Up() {
			continue
		}
		if err := d.host.kill(); err != nil {
			n.t.Errorf("killing host %d: %v", i, err)
		}
		d.host = nil
	}
}

// stopAll takes the network down at the end of a test.
func (n *Network) stopAll() {
	n.t.Helper()
	for i := range n.Nodes {
		n.Stop(i)
	}
}
