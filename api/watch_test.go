package api

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/catchup"
)

// movingNode is a fake node whose peers change.
type movingNode struct {
	*fakeNode
	mu    sync.Mutex
	peers []node.PeerInfo
	syncs []catchup.PeerState
}

func (n *movingNode) Peers() []node.PeerInfo {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.peers)
}

func (n *movingNode) Sync() (node.SyncState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return node.SyncState{Peers: slices.Clone(n.syncs)}, nil
}

func (n *movingNode) set(peers []node.PeerInfo, syncs []catchup.PeerState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers, n.syncs = peers, syncs
}

// setSync adds a comparison.
func (n *movingNode) setSync() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.syncs = []catchup.PeerState{{PeerID: "x", Err: "test"}}
}

// gatedNode takes its second look for as long as the gate is closed.
type gatedNode struct {
	*movingNode
	looks atomic.Int32
	gate  chan struct{}
}

func (n *gatedNode) Sync() (node.SyncState, error) {
	if n.looks.Add(1) == 2 {
		<-n.gate
	}
	return n.movingNode.Sync()
}

// TestAnOldLookIsNoNews has the last subscriber leave and another come while the
// node is looked at, as when the page is loaded again.
func TestAnOldLookIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &gatedNode{movingNode: new(movingNode), gate: make(chan struct{})}
		w := newWatch(n)
		w.subscribe(true, true)
		time.Sleep(watchInterval)
		synctest.Wait() // the second look is under way
		w.unsubscribe()
		n.set([]node.PeerInfo{{PeerID: "x"}}, nil)
		s := w.subscribe(true, true)
		defer w.unsubscribe()
		close(n.gate)
		synctest.Wait()
		s.visit(func(_ string, data []byte) { t.Errorf("nothing has happened since, but it is told of %s", data) })
	})
}

func TestEventsTellOfPeersAndComparisons(t *testing.T) {
	n := &movingNode{fakeNode: newFakeNode(t)}
	a := serve(t, n.fakeNode, Config{Node: n})
	a.server.watch.interval = time.Millisecond
	s := a.open(t, "/events?topics=peer,sync")
	at := time.Unix(1700000000, 0)
	p := node.PeerInfo{PeerID: peer.ID("x"), ConnectedAt: at}
	topic := p
	topic.OnTopic = true
	again := topic
	again.ConnectedAt = at.Add(time.Second)
	want := func(changes ...string) {
		t.Helper()
		for _, change := range changes {
			var e client.PeerEvent
			if err := json.Unmarshal([]byte(s.want("peer").data), &e); err != nil || e.Change != change || e.PeerID != p.PeerID.String() {
				t.Fatalf("got %+v, want %s (%v)", e, change, err)
			}
		}
	}
	n.set([]node.PeerInfo{p}, nil)
	want("connected")
	n.set([]node.PeerInfo{topic}, nil)
	want("joined")
	n.set([]node.PeerInfo{again}, nil)
	want("disconnected", "connected", "joined")
	n.set([]node.PeerInfo{again}, []catchup.PeerState{{PeerID: p.PeerID, ComparedAt: at, Agreed: true, Missing: 3}})
	var c client.PeerSync
	if err := json.Unmarshal([]byte(s.want("sync").data), &c); err != nil || !c.Agreed || c.Missing != 3 {
		t.Fatalf("got %+v, %v", c, err)
	}
	n.set([]node.PeerInfo{p}, nil)
	want("disconnected", "connected")
	n.set(nil, nil)
	want("disconnected")
}
