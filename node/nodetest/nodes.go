package nodetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/node"
	"p2ping/node/ledger"
)

// Node is one place in the network: an identity, an address and a data
// directory that outlive the hosts and members that come and go there.
type Node struct {
	// Index is the node's place in [Network.Nodes].
	Index int
	// ID is its peer ID, the same after every restart.
	ID peer.ID

	net       *Network
	key       crypto.PrivKey
	bootstrap []int
	skew      time.Duration
	dir       string
	disks     int // how many directories its ledger was in before: a crash starts a new one
	life      *life
}

// topic is the one all nodes are on.
const topic = "nodetest"

// life is one run of a node, from its start to its stop or crash. Who makes
// it closes it; with [Options.HostsOnly] it has only a host.
type life struct {
	host   *simHost
	ledger *ledger.Ledger
	node   *node.Node
	root   *os.Root
	// metrics are the node's own, not libp2p's.
	metrics *prometheus.Registry
	cancel  context.CancelFunc // ends Run, or what else its role does
	ran     chan error         // Run's answer; nil until it runs
}

// Add makes a node that is not started yet and that knows the nodes given as
// its bootstrap peers, which need not exist yet. It returns its index.
func (n *Network) Add(bootstrap ...int) int {
	n.t.Helper()
	i := len(n.Nodes)
	key := identity(n.seed, i)
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		n.t.Fatal(err)
	}
	dir := filepath.Join(n.t.TempDir(), fmt.Sprint(i))
	if err := os.Mkdir(dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	n.Nodes = append(n.Nodes, &Node{Index: i, ID: id, net: n, key: key, bootstrap: bootstrap, dir: dir})
	return i
}

// Up reports whether the node is running.
func (d *Node) Up() bool { return d.life != nil }

// Host returns the node's libp2p host, nil while it is down.
func (d *Node) Host() host.Host {
	if d.life == nil {
		return nil
	}
	return d.life.host.Host
}

// Member returns the running node itself, nil while it is down.
func (d *Node) Member() *node.Node {
	if d.life == nil {
		return nil
	}
	return d.life.node
}

// Ledger returns the node's open ledger, nil while it is down.
func (d *Node) Ledger() *ledger.Ledger {
	if d.life == nil {
		return nil
	}
	return d.life.ledger
}

// ClockSkew sets how far the node's clock is ahead of the network's, from now
// on and over restarts.
func (n *Network) ClockSkew(i int, skew time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Nodes[i].skew = skew
}

// now is the clock on the node's wall.
func (d *Node) now() time.Time {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	return time.Now().Add(d.skew)
}

// Start starts the nodes given, in that order, unless they are up.
func (n *Network) Start(which ...int) {
	n.t.Helper()
	for _, i := range which {
		d := n.Nodes[i]
		if d.Up() {
			continue
		}
		d.life = &life{metrics: prometheus.NewRegistry()}
		if err := d.start(); err != nil {
			n.t.Fatalf("starting node %d: %v", i, errors.Join(err, d.end()))
		}
	}
}

// start begins a life.
func (d *Node) start() error {
	if err := d.startHost(); err != nil || d.net.opts.HostsOnly {
		return err
	}
	return d.startMember()
}

// startHost gives a life its host.
func (d *Node) startHost() (err error) {
	build := func(key crypto.PrivKey, listen multiaddr.Multiaddr, sockets []quicreuse.Option) (host.Host, error) {
		return node.NewHost(node.HostConfig{
			Key:    key,
			Listen: []multiaddr.Multiaddr{listen},
			Logger: d.logger(),
			QUIC:   sockets,
		})
	}
	if d.net.opts.HostsOnly {
		build = newPlainHost
	}
	d.life.host, err = d.net.wire.newHost(d.key, d.Index, build)
	return err
}

// startMember gives a life all that a host is not.
func (d *Node) startMember() (err error) {
	l := d.life
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	switch d.role() {
	case Swallower:
		return swallow(ctx, l.host, d.topic())
	case Liar:
		lie(ctx, l.host)
	case Honest:
	}
	if err := os.MkdirAll(d.disk(), 0o700); err != nil {
		return err
	}
	if l.ledger, err = ledger.Open(ledger.Config{Path: filepath.Join(d.disk(), "ledger.db"), NoSync: true, Logger: d.logger()}); err != nil {
		return err
	}
	if l.root, err = os.OpenRoot(d.dir); err != nil {
		return err
	}
	var bootstrap []node.Bootstrap
	for _, j := range d.bootstrap {
		bootstrap = append(bootstrap, node.Bootstrap{Addr: quicAddr(j), ID: d.net.Nodes[j].ID})
	}
	l.node, err = node.New(node.Config{
		Host:           l.host.Host,
		Ledger:         l.ledger,
		Topic:          d.topic(),
		Bootstrap:      bootstrap,
		Dir:            l.root,
		Logger:         d.logger(),
		Now:            d.now,
		DisableCatchUp: d.net.opts.NoCatchUp,
		NoDiscovery:    !d.net.opts.Discovery,
		Scout:          d.net.wire.scout,
		RandomMesh:     d.net.opts.RandomMesh,
		Registerer:     l.metrics,
	})
	if err != nil {
		return err
	}
	l.ran = make(chan error, 1)
	go func() { l.ran <- l.node.Run(ctx) }()
	return nil
}

func (d *Node) logger() *slog.Logger { return d.net.log.With("node", d.Index) }

// topic is the topic that the node is on.
func (d *Node) topic() string {
	if d.net.opts.Topic == nil {
		return "nodetest"
	}
	return d.net.opts.Topic(d.Index)
}

// disk is the directory that has the ledger's files now, and nothing else.
func (d *Node) disk() string { return filepath.Join(d.dir, fmt.Sprintf("disk%d", d.disks)) }

// Stop stops the nodes given cleanly, as SIGTERM would.
func (n *Network) Stop(which ...int) {
	n.t.Helper()
	for _, i := range which {
		if err := n.Nodes[i].end(); err != nil {
			n.t.Errorf("stopping node %d: %v", i, err)
		}
	}
}

// Crash stops the nodes given as a power cut would: peers get no goodbye, and
// the ledger is what was on the disk at this instant, whatever a node that is
// only closing may still write.
func (n *Network) Crash(which ...int) {
	n.t.Helper()
	for _, i := range which {
		d := n.Nodes[i]
		if !d.Up() {
			continue
		}
		// Nothing is in the middle of a write once all goroutines wait.
		synctest.Wait()
		d.life.host.silence()
		if err := d.keepDisk(); err != nil {
			n.t.Fatalf("crashing node %d: %v", i, err)
		}
		if err := d.end(); err != nil {
			n.t.Errorf("crashing node %d: %v", i, err)
		}
	}
}

// keepDisk copies the ledger's files and makes the copies the node's next ledger.
func (d *Node) keepDisk() error {
	if d.life.ledger == nil {
		return nil
	}
	old := d.disk()
	d.disks++
	return os.CopyFS(d.disk(), os.DirFS(old))
}

// Restart stops the nodes given, cleanly, and starts them again.
func (n *Network) Restart(which ...int) {
	n.t.Helper()
	n.Stop(which...)
	n.Start(which...)
}

// end ends the node's present life, if it has one.
func (d *Node) end() error {
	if d.life == nil {
		return nil
	}
	l := d.life
	d.life = nil
	return l.end()
}

// end closes whatever a life has, in the order that package node asks for.
func (l *life) end() error {
	var errs []error
	if l.cancel != nil {
		l.cancel()
	}
	if l.ran != nil {
		errs = append(errs, <-l.ran)
	}
	if l.node != nil {
		errs = append(errs, l.node.Close())
	}
	if l.host != nil {
		errs = append(errs, l.host.Close())
	}
	if l.ledger != nil {
		errs = append(errs, l.ledger.Close())
	}
	if l.root != nil {
		errs = append(errs, l.root.Close())
	}
	return errors.Join(errs...)
}

// StartAll starts every node that is down, in order.
func (n *Network) StartAll() {
	n.t.Helper()
	for i := range n.Nodes {
		n.Start(i)
	}
}

// stopAll takes the network down at the end of a test.
func (n *Network) stopAll() {
	n.t.Helper()
	for i := range n.Nodes {
		n.Stop(i)
	}
}
