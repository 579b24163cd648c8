package node

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"p2ping/node/discovery"
)

// Times and bounds of the watchdog.
const (
	watchInterval = 4 * time.Second
	// deafAfter is how long a connected peer may be missing from the topic. A
	// healthy one is on it within a second.
	deafAfter = 12 * time.Second
	// suspectAfter is how long it may be missing when a stream to it broke:
	// pubsub has then forgotten what the peer told it, and must be told again.
	suspectAfter = 2 * time.Second
	// maxBounces is how often in a row a peer is closed and redialled. One that
	// stays off the topic is on another, and is left alone for bounceRest, then
	// for twice as long after each further try, up to maxBounceRest.
	maxBounces    = 2
	bounceRest    = 2 * time.Minute
	maxBounceRest = 16 * time.Hour
	// maxWatched bounds the peers watched that are not connected any more.
	maxWatched = 4096
	// redials and redialPause are for getting a closed peer back.
	redials     = 3
	redialPause = 2 * time.Second
)

type watchdogConfig struct {
	Host   host.Host
	Dialer *dialer
	// TopicPeers returns the peers that are on the topic now.
	TopicPeers func() []peer.ID
	Logger     *slog.Logger
}

// watchdog mends deafness. When the stream that carries our messages to a peer
// breaks but a connection remains, pubsub forgets which topics the peer is on,
// opens a new stream, and is never told again: nothing we publish reaches the
// peer any more, and nothing reports it. After more than four broken streams
// in ten minutes it does not even open a new one. Either way the peer, though
// connected, is missing from our topic: that is what is watched for. A new
// connection mends it, as both sides then tell each other anew.
type watchdog struct {
	host       host.Host
	dialer     *dialer
	topicPeers func() []peer.ID
	logger     *slog.Logger
	suspects   chan peer.ID
	doubles    chan network.Conn // the newest of several; see stale.go

	// Owned by run.
	watched map[peer.ID]*watched
	work    sync.WaitGroup
}

// watched is a peer that is missing from the topic, or was.
type watched struct {
	since   time.Time // since when it is missing
	due     time.Time // when it counts as deaf; zero: it is on the topic
	bounces int
	last    time.Time // when it was last bounced
}

func newWatchdog(cfg watchdogConfig) *watchdog {
	return &watchdog{
		host:       cfg.Host,
		dialer:     cfg.Dialer,
		topicPeers: cfg.TopicPeers,
		logger:     cfg.Logger,
		suspects:   make(chan peer.ID, 64),
		doubles:    make(chan network.Conn, maxTests),
		watched:    make(map[peer.ID]*watched),
	}
}

// suspect tells the watchdog that a stream to the peer broke. It never blocks,
// and may be called at any time.
func (w *watchdog) suspect(id peer.ID) {
	select {
	case w.suspects <- id:
	default: // the next look finds it all the same, only later
	}
}

// run watches until ctx ends. It is called once.
func (w *watchdog) run(ctx context.Context) {
	defer w.work.Wait()
	events := &network.NotifyBundle{ConnectedF: w.doubled}
	w.host.Network().Notify(events)
	defer w.host.Network().StopNotify(events)
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	check := time.NewTimer(watchInterval)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-w.suspects:
			w.expect(id, time.Now(), suspectAfter)
			check.Reset(suspectAfter)
		case conn := <-w.doubles:
			w.testOlder(ctx, conn)
		case <-check.C:
			w.look(ctx, time.Now())
		case <-ticker.C:
			w.look(ctx, time.Now())
		}
	}
}

// expect sets when a peer that is not on the topic now counts as deaf.
func (w *watchdog) expect(id peer.ID, now time.Time, after time.Duration) {
	p := w.watched[id]
	if p == nil {
		p = &watched{}
		w.watched[id] = p
	}
	if due := now.Add(after); p.due.IsZero() || due.Before(p.due) {
		p.since, p.due = now, due
	}
}

// look compares who is connected with who is on the topic.
func (w *watchdog) look(ctx context.Context, now time.Time) {
	onTopic := make(map[peer.ID]bool)
	for _, id := range w.topicPeers() {
		onTopic[id] = true
	}
	connected := make(map[peer.ID]bool)
	for _, id := range w.host.Network().Peers() {
		connected[id] = true
		switch {
		case onTopic[id]:
			delete(w.watched, id)
		case w.host.Network().Connectedness(id) == network.Connected && w.speaksGossipSub(id):
			switch p := w.watched[id]; {
			case p == nil || p.due.IsZero():
				w.expect(id, now, deafAfter)
			case w.renewed(id, p.since):
				p.since, p.due = now, now.Add(p.due.Sub(p.since))
			}
			w.judge(ctx, id, now)
		}
	}
	for id, p := range w.watched {
		if connected[id] {
			continue
		}
		p.due = time.Time{}
		if p.bounces == 0 || now.Sub(p.last) > maxBounceRest || len(w.watched) > maxWatched {
			delete(w.watched, id)
		}
	}
}

// renewed reports whether all connections to a peer were made after a time: on
// those, both sides tell each other anew.
func (w *watchdog) renewed(id peer.ID, since time.Time) bool {
	return !slices.ContainsFunc(w.host.Network().ConnsToPeer(id), func(c network.Conn) bool {
		return !c.Stat().Opened.After(since)
	})
}

// judge bounces a peer that is due.
func (w *watchdog) judge(ctx context.Context, id peer.ID, now time.Time) {
	p := w.watched[id]
	if now.Before(p.due) || now.Sub(p.last) < restAfter(p.bounces) {
		return
	}
	p.bounces++
	p.last = now
	p.due = time.Time{}
	switch {
	case p.bounces < maxBounces:
		w.logger.Info("a connected peer speaks GossipSub but is not on the topic: reconnecting", "peer", id)
	case p.bounces == maxBounces:
		w.logger.Info("a connected peer speaks GossipSub but is not on the topic: reconnecting once more, then leaving it alone", "peer", id)
	default:
		w.logger.Debug("reconnecting to a peer that has long been on another topic", "peer", id)
	}
	w.work.Go(func() { w.bounce(ctx, id) })
}

// restAfter returns how long a peer is left alone after it was bounced n times
// to no avail.
func restAfter(n int) time.Duration {
	if n < maxBounces {
		return 0
	}
	return min(bounceRest<<min(n-maxBounces, 9), maxBounceRest)
}

// speaksGossipSub reports whether a peer speaks GossipSub, or has not said what it
// speaks: libp2p asks once on each connection, and pubsub, when that failed, waits
// for the answer for ever.
func (w *watchdog) speaksGossipSub(id peer.ID) bool {
	protocols, err := w.host.Peerstore().GetProtocols(id)
	if err != nil {
		return false
	}
	if len(protocols) == 0 {
		return true
	}
	for _, p := range protocols {
		if strings.HasPrefix(string(p), "/meshsub/") {
			return true
		}
	}
	return false
}

// bounce closes all connections to a peer and makes a new one.
func (w *watchdog) bounce(ctx context.Context, id peer.ID) {
	conns := w.host.Network().ConnsToPeer(id)
	last := directionOf(conns)
	addrs := wayBack(conns, w.host.Peerstore().Addrs(id))
	if err := w.host.Network().ClosePeer(id); err != nil {
		w.logger.Debug("closing a deaf peer", "peer", id, "err", err)
	}
	pause := grace(w.host.ID(), id, last, rand.Float64())
	for range redials {
		if !wait(ctx, pause) || isConnected(w.host, id) {
			return
		}
		err := w.redial(ctx, peer.AddrInfo{ID: id, Addrs: addrs})
		if err == nil {
			return
		}
		w.logger.Debug("reconnecting to a peer that was deaf", "peer", id, "err", err)
		pause = redialPause
	}
}

// wayBack returns where to dial a peer again: where it was dialled, and of what
// it claims what is at the IP address that it came from. Else any peer could have
// this node dial whomever it likes, by claiming to be there and staying off the
// topic.
func wayBack(conns []network.Conn, claimed []ma.Multiaddr) []ma.Multiaddr {
	var addrs []ma.Multiaddr
	from := make(map[netip.Addr]bool)
	for _, c := range conns {
		if c.Stat().Direction == network.DirOutbound {
			addrs = append(addrs, c.RemoteMultiaddr())
		}
		if ip, _, ok := endpoint(c.RemoteMultiaddr()); ok {
			from[ip] = true
		}
	}
	claimed = slices.DeleteFunc(slices.Clone(claimed), func(a ma.Multiaddr) bool {
		ip, _, ok := endpoint(a)
		return !ok || !from[ip]
	})
	return ma.Unique(append(addrs, discovery.Takeable(claimed, conns)...))
}

func (w *watchdog) redial(ctx context.Context, info peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return w.dialer.dialOnly(ctx, info)
}

// wait sleeps for d and reports whether it did, rather than ctx ending.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
