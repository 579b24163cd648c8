package api

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/api/client"
)

// watchInterval is how often the node's peers and comparisons are looked at
// while anybody wants to hear of them.
const watchInterval = time.Second

// watch looks at what changes without passing through the ledger, once for all
// who want to know. Like the ledger it keeps no queues: subscribers compare
// what is with what they saw last.
type watch struct {
	node     Node
	interval time.Duration

	mu          sync.Mutex
	subscribers int           // guarded by mu
	stop        chan struct{} // guarded by mu; closed when the last one leaves
	now         *snapshot     // guarded by mu; what it points to is read only
	changed     chan struct{} // guarded by mu; closed when now is replaced
}

// snapshot is what is known at one moment.
type snapshot struct {
	peers map[peer.ID]client.Peer
	syncs map[peer.ID]client.PeerSync
}

func newWatch(n Node) *watch {
	return &watch{node: n, interval: watchInterval, changed: make(chan struct{})}
}

// look takes a snapshot.
func (w *watch) look() *snapshot {
	s := &snapshot{peers: make(map[peer.ID]client.Peer), syncs: make(map[peer.ID]client.PeerSync)}
	for _, p := range w.node.Peers() {
		s.peers[p.PeerID] = peerJSON(p)
	}
	if state, err := w.node.Sync(); err == nil { // else GET /sync tells
		for _, c := range state.Peers {
			s.syncs[c.PeerID] = comparisonJSON(c)
		}
	}
	return s
}

// subscription is one reader's view. A nil one has no news.
type subscription struct {
	watch        *watch
	peers, syncs bool
	seen         *snapshot
}

// subscribe begins to report changes from now on. The caller calls unsubscribe
// when it is done.
func (w *watch) subscribe(peers, syncs bool) *subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribers++
	if w.subscribers == 1 {
		w.now = w.look()
		w.stop = make(chan struct{})
		go w.run(w.stop)
	}
	return &subscription{watch: w, peers: peers, syncs: syncs, seen: w.now}
}

func (w *watch) unsubscribe() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.subscribers--; w.subscribers == 0 {
		close(w.stop)
	}
}

func (w *watch) run(stop <-chan struct{}) {
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		s := w.look()
		w.mu.Lock()
		if w.stop != stop { // others have come since, whose first look is newer
			w.mu.Unlock()
			return
		}
		w.now = s
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
	}
}

// changed returns a channel that is closed when there may be news; nil, which
// never is, for a nil subscription.
func (s *subscription) changed() <-chan struct{} {
	if s == nil {
		return nil
	}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	if s.watch.now != s.seen {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return s.watch.changed
}

// visit calls event for everything that changed since it was called last.
func (s *subscription) visit(event func(name string, data []byte)) {
	if s == nil {
		return
	}
	s.watch.mu.Lock()
	now := s.watch.now
	s.watch.mu.Unlock()
	before := s.seen
	s.seen = now
	if now == before {
		return
	}
	if s.peers {
		diffPeers(before.peers, now.peers, func(e client.PeerEvent) { emit(event, "peer", e) })
	}
	if s.syncs {
		for id, c := range now.syncs {
			if old, ok := before.syncs[id]; !ok || old.ComparedAt != c.ComparedAt || old.Error != c.Error {
				emit(event, "sync", c)
			}
		}
	}
}

func emit(event func(string, []byte), name string, v any) {
	if b, err := json.Marshal(v); err == nil { // the client's types always encode
		event(name, b)
	}
}

// diffPeers reports the steps from one set of peers to another. Somebody who
// left and came back in between, on a new connection, did both.
func diffPeers(before, now map[peer.ID]client.Peer, event func(client.PeerEvent)) {
	for id, p := range before {
		if q, ok := now[id]; ok && q.ConnectedAt == p.ConnectedAt {
			continue
		}
		event(client.PeerEvent{Change: client.PeerDisconnected, Peer: p})
	}
	for id, p := range now {
		old, ok := before[id]
		if !ok || old.ConnectedAt != p.ConnectedAt {
			event(client.PeerEvent{Change: client.PeerConnected, Peer: p})
			old.OnTopic = false
		}
		switch {
		case p.OnTopic && !old.OnTopic:
			event(client.PeerEvent{Change: client.PeerJoined, Peer: p})
		case !p.OnTopic && old.OnTopic:
			event(client.PeerEvent{Change: client.PeerLeft, Peer: p})
		}
	}
}
