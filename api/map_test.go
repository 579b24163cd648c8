package api

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/status"
)

// Map shows the node, a peer, and somebody the peer tells of.
func (n *fakeNode) Map(context.Context) (status.Map, error) {
	if err := n.fail.Load(); err != nil {
		return status.Map{}, *err
	}
	near, far := peer.ID("near"), peer.ID("far")
	return status.Map{
		Nodes: []status.Node{
			{PeerID: n.id, State: status.Answered, Report: status.Report{Agent: "p2ping/test", Entries: 2, Pings: 3, TopicPeers: 1}, SeenBy: []peer.ID{near}},
			{PeerID: near, State: status.Answered, Report: status.Report{Agent: "<b>", TopicPeers: 2}, SeenBy: []peer.ID{n.id}},
			{PeerID: far, State: status.Unreached, SeenBy: []peer.ID{near}},
		},
		Edges: []status.Edge{
			{From: n.id, To: near, InMesh: true, RTT: 1500 * time.Microsecond, ClaimedBy: []peer.ID{n.id, near}},
			{From: near, To: far, ClaimedBy: []peer.ID{near}},
		},
		Asked: 2, Left: 3, Undrawn: 4, EndedEarly: true,
	}, nil
}

func (n *fakeNode) MapProgress() status.Progress {
	return status.Progress{Running: true, Asked: 2, Known: 5}
}

func TestMap(t *testing.T) {
	a := start(t)
	got, err := a.Map(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	self, near, far := a.node.id.String(), peer.ID("near").String(), peer.ID("far").String()
	want := client.Map{
		Nodes: []client.MapNode{
			{PeerID: self, Answered: true, State: client.MapAnswered, Agent: "p2ping/test", Entries: 2, Pings: 3, TopicPeers: 1, SeenBy: []string{near}},
			{PeerID: near, Answered: true, State: client.MapAnswered, Agent: "<b>", TopicPeers: 2, SeenBy: []string{self}},
			{PeerID: far, State: client.MapUnreached, SeenBy: []string{near}},
		},
		Edges: []client.MapEdge{
			{From: self, To: near, InMesh: true, RTT: 1.5, ClaimedBy: []string{self, near}},
			{From: near, To: far, ClaimedBy: []string{near}},
		},
		Asked: 2, Left: 3, Undrawn: 4, EndedEarly: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if answer, _ := a.do(t, "GET", "/map?depth=3", ""); answer.StatusCode != 400 {
		t.Errorf("an unknown parameter: %s", answer.Status)
	}
	progress, err := a.MapProgress(t.Context())
	if want := (client.MapProgress{Running: true, Asked: 2, Known: 5}); err != nil || progress != want {
		t.Errorf("progress: %+v, %v", progress, err)
	}
	if answer, _ := a.do(t, "GET", "/map/progress?x", ""); answer.StatusCode != 400 {
		t.Errorf("an unknown parameter: %s", answer.Status)
	}
	a.node.failWith(fmt.Errorf("a test: %w", node.ErrStopped))
	_, err = a.Map(t.Context())
	wantError(t, err, 503)
	a.node.failWith(fmt.Errorf("a test: %w", context.DeadlineExceeded))
	_, err = a.Map(t.Context())
	wantError(t, err, 504)
}
