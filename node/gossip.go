package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
)

// Queue sizes of pubsub. Its defaults of 32 lose bursts without a word: of
// 1,000 messages sent back to back 804 arrived, with these 4,000 of 4,000. The
// third queue, a subscription's, we do without: see validate.
const (
	outboundQueue = 4096
	validateQueue = 4096
)

// gossip is the fast path: one GossipSub topic.
type gossip struct {
	topic   *pubsub.Topic
	events  *pubsub.TopicEventHandler
	members *members
	cancel  context.CancelFunc // ends pubsub's own goroutines
}

type gossipConfig struct {
	host     host.Host
	topic    string
	logger   *slog.Logger
	tracer   *tracer
	validate pubsub.ValidatorEx
	// score says which peers the mesh should be made of, see [distance]; nil
	// leaves it to chance.
	score func(peer.ID) float64
}

func newGossip(cfg gossipConfig) (_ *gossip, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	opts := []pubsub.Option{
		pubsub.WithLogger(slog.New(calmer{cfg.logger.Handler()})), // first: others take it
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithPeerOutboundQueueSize(outboundQueue),
		pubsub.WithValidateQueueSize(validateQueue),
		// One, so that what a peer sends arrives in its order. It verifies some
		// 17,000 entries a second, of up to 1,000 pings each.
		pubsub.WithValidateWorkers(1),
		// A small network has no mesh for its first second, nor after a restart
		// within the prune backoff: send own messages to every topic peer.
		pubsub.WithFloodPublish(true),
		pubsub.WithSubscriptionFilter(pubsub.NewAllowlistSubscriptionFilter(cfg.topic)),
		pubsub.WithRawTracer(cfg.tracer),
	}
	if cfg.score != nil {
		opts = append(opts, meshOptions(cfg.topic, cfg.score)...)
	}
	ps, err := pubsub.NewGossipSub(ctx, cfg.host, opts...)
	if err != nil {
		return nil, fmt.Errorf("starting GossipSub: %w", err)
	}
	// Inline, because an asynchronous validator reorders messages, and one that
	// is throttled loses them: they stay marked as seen.
	err = ps.RegisterTopicValidator(cfg.topic, cfg.validate, pubsub.WithValidatorInline(true))
	if err != nil {
		return nil, fmt.Errorf("registering the validator: %w", err)
	}
	topic, err := ps.Join(cfg.topic)
	if err != nil {
		return nil, fmt.Errorf("joining topic %q: %w", cfg.topic, err)
	}
	events, err := topic.EventHandler()
	if err != nil {
		return nil, fmt.Errorf("watching topic %q: %w", cfg.topic, err)
	}
	return &gossip{topic: topic, events: events, members: newMembers(), cancel: cancel}, nil
}

// join makes the node a full member of the topic: it announces it and takes
// part in its mesh. To pubsub that is relaying, not subscribing, because the
// validator has taken each message already when a subscription would deliver
// it, and a subscription's buffer is one more that overflows.
//
// The relay is never cancelled. A node that leaves politely is kept out of the
// mesh for the prune backoff when it comes back (73 s of slow delivery were
// measured); one whose connections just close is not.
func (g *gossip) join() error {
	if _, err := g.topic.Relay(); err != nil {
		return fmt.Errorf("joining the mesh of topic %q: %w", g.topic, err)
	}
	return nil
}

// ownMessage travels with a message of our own through pubsub's validation, to
// bring back the entry that pubsub signed.
type ownMessage struct{ entry *entry.Entry }

// publish signs data and sends it to every topic peer. It returns the signed
// entry and how many topic peers there were to send it to.
func (g *gossip) publish(ctx context.Context, data []byte) (*entry.Entry, int, error) {
	own := &ownMessage{}
	peers := g.members.count()
	if err := g.topic.Publish(ctx, data, pubsub.WithValidatorData(own)); err != nil {
		return nil, 0, fmt.Errorf("publishing to topic %q: %w", g.topic, err)
	}
	return own.entry, peers, nil
}

// watch keeps members up to date and calls joined for every peer that joins
// the topic, until ctx ends.
func (g *gossip) watch(ctx context.Context, joined, left func(peer.ID)) {
	for {
		event, err := g.events.NextPeerEvent(ctx)
		if err != nil {
			return
		}
		switch event.Type {
		case pubsub.PeerJoin:
			g.members.add(event.Peer)
			joined(event.Peer)
		case pubsub.PeerLeave:
			g.members.remove(event.Peer)
			left(event.Peer)
		}
	}
}

// members is the set of peers known to be on the topic.
type members struct {
	mu      sync.Mutex
	set     map[peer.ID]struct{}
	changed chan struct{} // closed and replaced when set changes
}

func newMembers() *members {
	return &members{set: make(map[peer.ID]struct{}), changed: make(chan struct{})}
}

func (m *members) add(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set[id] = struct{}{}
	m.signal()
}

func (m *members) remove(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.set, id)
	m.signal()
}

// signal tells who waits for a change. mu is held.
func (m *members) signal() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// changes returns a channel that is closed at the next change.
func (m *members) changes() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *members) has(id peer.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.set[id]
	return ok
}

func (m *members) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.set)
}

// list returns the members in a stable order.
func (m *members) list() []peer.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.set))
}
