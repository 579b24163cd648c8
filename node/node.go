// Package node is a member of a p2ping network: a libp2p host on a GossipSub
// topic, with a ledger of all pings and the connections it keeps.
//
// A ping is published with [Node.Publish]: it is batched with whatever else is
// waiting, signed, sent to every topic peer, appended to the ledger and
// synced to disk; only then does Publish return. Other nodes take it from
// gossip, or from catch-up when gossip lost it (package catchup); either way
// it passes the same admission and ends up in their ledgers. Whoever wants to
// see pings follows the ledger: Ledger().After and Changed. There are no
// queues to subscribers, so none can overflow.
//
// # Ownership
//
// A Node is given its host and its ledger and closes neither; who created
// them closes them, after the node and in the order node, host, ledger. New
// fails early; Run does the work and blocks; Close waits for what New and Run
// started.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. Publish before Run
// waits for Run.
//
// # Logging
//
// A node logs to the logger it is given, pubsub's own lines included. libp2p
// itself logs to its process-wide handler, which a program sets with
// gologshim.SetDefaultHandler before its first libp2p call.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/node/catchup"
	"p2ping/node/discovery"
	"p2ping/node/entry"
	"p2ping/node/ledger"
	"p2ping/node/status"
	"p2ping/node/streams"
)

// DefaultTopic is the GossipSub topic of a network that names no other.
const DefaultTopic = "p2ping"

// Config says what a node is made of. Host and Ledger are required.
type Config struct {
	// Host is the node's libp2p host, with an Ed25519 identity. The caller
	// closes it, after the node.
	Host host.Host
	// Ledger holds the pings. The caller closes it, after the node.
	Ledger *ledger.Ledger
	// Topic is the GossipSub topic, 1 to entry.MaxTopic bytes; "" is DefaultTopic.
	Topic string
	// Bootstrap are the peers to stay connected to.
	Bootstrap []Bootstrap
	// Dir is the data directory, for what the node remembers of its peers;
	// nil remembers nothing.
	Dir *os.Root
	// NoDiscovery keeps the node to those who connect to it and those it is told
	// to connect to: it neither looks for peers, nor remembers any, nor is told
	// of to those who look for peers.
	NoDiscovery bool
	// MDNS announces the node on the local network and finds others there.
	// NoDiscovery goes before it.
	MDNS bool
	// NoStatus has the node answer nobody who asks how it is and whom it sees, and
	// keeps peers from telling where it is.
	NoStatus bool
	// Scout makes the host by which those are asked for the map that the node is
	// not connected to, as [NewScout] does; with nil they are not.
	Scout func() (host.Host, error)
	// RandomMesh leaves the mesh to chance, as GossipSub does by itself. Else it
	// is made of near peers and some drawn by lot, wherever there are more
	// topic peers than fit into it: messages arrive sooner.
	RandomMesh bool
	// Version is what GET /id tells.
	Version string
	// Logger receives what the node has to say; nil discards it.
	Logger *slog.Logger
	// Registerer receives the node's metrics; nil keeps them to itself.
	Registerer prometheus.Registerer
	// Now is the clock that pings are sent and judged by; nil is time.Now.
	// Tests skew it.
	Now func() time.Time
	// DisableCatchUp turns the guarantee off, so that tests can see gossip
	// alone, and see themselves fail.
	DisableCatchUp bool
}

// Node is a member of a network. See the package comment.
type Node struct {
	host      host.Host
	ledger    *ledger.Ledger
	topic     string
	version   string
	logger    *slog.Logger
	now       func() time.Time
	startedAt time.Time

	metrics   *metrics
	tracer    *tracer
	gossip    *gossip
	inbox     *inbox
	sources   sources
	batcher   *batcher
	catchup   *catchup.Syncer
	dialer    *dialer
	connector *connector
	receipts  *receipts
	watchdog  *watchdog
	pinger    *pinger
	reached   *reached
	company   company
	distance  *distance         // nil when the mesh is left to chance
	finder    *discovery.Finder // nil without discovery
	mapper    *status.Mapper

	work *streams.Work // Run, if it was called
}

// OtherTopicError is why a node does not start on a ledger of another topic: it
// would show pings as this topic's that no peer of it takes.
type OtherTopicError struct {
	// Topic is whose entries the ledger holds.
	Topic string
}

func (e *OtherTopicError) Error() string {
	return fmt.Sprintf("the ledger holds pings of the topic %q", e.Topic)
}

// New makes a node on cfg.Host and joins the topic. Until Run, it answers
// catch-up but connects to nobody. The caller must call Close. Its error is an
// [OtherTopicError] when the ledger holds entries of another topic.
func New(cfg Config) (*Node, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registerer == nil {
		cfg.Registerer = prometheus.NewRegistry()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Topic == "" {
		cfg.Topic = DefaultTopic
	}
	if err := entry.CheckTopic(cfg.Topic); err != nil {
		return nil, err
	}
	if key := cfg.Host.Peerstore().PrivKey(cfg.Host.ID()); key == nil || key.Type() != crypto.Ed25519 {
		return nil, errors.New("the host's identity is not Ed25519: only such can author pings")
	}
	if err := checkLedger(cfg.Ledger, cfg.Topic); err != nil {
		return nil, err
	}
	n := &Node{
		host:      cfg.Host,
		ledger:    cfg.Ledger,
		topic:     cfg.Topic,
		version:   cfg.Version,
		logger:    cfg.Logger,
		now:       cfg.Now,
		startedAt: time.Now(),
		metrics:   newMetrics(),
		inbox:     newInbox(),
		company:   company{logger: cfg.Logger},
		work:      streams.NewWork(),
	}
	n.batcher = newBatcher(n.publishEntry)
	if err := n.wire(cfg); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// checkLedger fails when a ledger holds entries of another topic than the one
// given. All that it holds are of one, as each entry is admitted for the topic of
// the first: one is enough to look at.
func checkLedger(l *ledger.Ledger, topic string) error {
	for r, err := range l.Range(entry.Key{Time: l.State().Floor}, entry.LastKey()) {
		if err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		if r.Entry.Topic != topic {
			return &OtherTopicError{Topic: r.Entry.Topic}
		}
		break
	}
	return nil
}

// wire makes the parts that talk to the network.
func (n *Node) wire(cfg Config) (err error) {
	n.tracer = &tracer{
		topic:        n.topic,
		metrics:      n.metrics,
		lost:         n.lost,
		streamClosed: n.streamClosed,
		mesh:         make(map[peer.ID]struct{}),
	}
	n.catchup, err = catchup.New(catchup.Config{
		Host:       n.host,
		Ledger:     n.ledger,
		Topic:      n.topic,
		Peers:      n.topicPeers,
		Admit:      n.admit,
		Now:        n.now,
		Logger:     n.logger,
		Registerer: cfg.Registerer,
		Disabled:   cfg.DisableCatchUp,
	})
	if err != nil {
		return fmt.Errorf("starting catch-up: %w", err)
	}
	if err := n.wireConnections(cfg); err != nil {
		return err
	}
	n.gossip, err = newGossip(gossipConfig{
		host:     n.host,
		topic:    n.topic,
		logger:   n.logger,
		tracer:   n.tracer,
		validate: n.validate,
		score:    n.wireDistance(cfg),
	})
	if err != nil {
		return err
	}
	n.receipts = newReceipts(n.host, n.ledger, n.logger, n.catchup.PeerJoined, n.gossip.members.has)
	if err := n.wireDiscovery(cfg); err != nil {
		return err
	}
	if err := n.wireMap(cfg); err != nil {
		return err
	}
	if err := n.metrics.register(cfg.Registerer, n); err != nil {
		return err
	}
	return n.gossip.join()
}

// Run connects the node and keeps it at work until ctx ends or Close is
// called; then it returns nil, once all that it started has ended. It is
// called once.
func (n *Node) Run(ctx context.Context) error {
	if !n.work.Begin() {
		return nil
	}
	defer n.work.End()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.work.Context(), cancel)()

	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { n.batcher.run(ctx) })
	work.Go(func() { n.store(ctx) })
	work.Go(func() { n.gossip.watch(ctx, n.peerJoined, n.peerLeft) })
	work.Go(func() { n.connector.run(ctx) })
	work.Go(func() { n.watchdog.run(ctx) })
	work.Go(func() { n.pinger.run(ctx) })
	work.Go(func() { n.reached.run(ctx) })
	work.Go(func() { n.company.run(ctx) })
	if n.distance != nil {
		work.Go(func() { n.distance.run(ctx) })
	}
	if n.finder != nil {
		work.Go(func() { n.report(ctx, "finding peers", n.finder.Run) })
	}
	work.Go(func() { n.report(ctx, "catching up", n.catchup.Run) })
	work.Go(func() { n.report(ctx, "keeping the ledger", n.ledger.Run) })
	<-ctx.Done()
	return nil
}

// report runs one part and logs how it ended, unless it was told to.
func (n *Node) report(ctx context.Context, what string, run func(context.Context) error) {
	if err := run(ctx); err != nil && ctx.Err() == nil {
		n.logger.Error(what, "err", err) //nolint:sloglint // what is one of two literals
	}
}

// Close stops the node, waits for Run, and leaves host and ledger to be closed
// by whoever created them. It may be called more than once.
func (n *Node) Close() error {
	n.work.Close()
	n.batcher.stop() // or who waits for a Run that never was would wait for ever
	if n.receipts != nil {
		n.receipts.close()
	}
	var err error
	if n.mapper != nil {
		err = n.mapper.Close()
	}
	if n.finder != nil {
		err = errors.Join(err, n.finder.Close())
	}
	if n.catchup != nil {
		err = errors.Join(err, n.catchup.Close())
	}
	if n.gossip != nil {
		n.gossip.cancel()
	}
	return err
}

// Ledger returns the ledger that the node was given.
func (n *Node) Ledger() *ledger.Ledger { return n.ledger }

func (n *Node) topicPeers() []peer.ID { return n.gossip.members.list() }

func (n *Node) peerJoined(id peer.ID) {
	n.company.came(id, n.gossip.members.count())
	n.catchup.PeerJoined(id)
	if n.finder != nil {
		n.finder.PeerJoined(id)
	}
}

func (n *Node) peerLeft(id peer.ID) {
	n.company.went(id, n.gossip.members.count())
	if n.finder != nil {
		n.finder.PeerLeft(id)
	}
}

// lost counts a message that the fast path dropped and starts a catch-up with
// the peer that misses it, or with any when that is this node.
func (n *Node) lost(where string, missing peer.ID) {
	n.metrics.lost.WithLabelValues(where).Inc()
	if missing != "" {
		n.catchup.PeerJoined(missing)
		return
	}
	n.catchup.Trigger(catchup.Drop)
}
