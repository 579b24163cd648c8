package status

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of a map.
const (
	maxNodes = 1024
	maxEdges = 8192
)

// Map is what is known of the network. Who is given one must not change it.
type Map struct {
	// Nodes are those known: the node that made the map first, then those that
	// answered it, then those that it heard of.
	Nodes []Node
	// Edges are the links between them, each once.
	Edges []Edge
	// Complete says that everybody who was heard of was asked, answered, and told
	// of all its peers: there is nobody else, unless somebody lied.
	Complete bool
	// Asked counts the questions that it took.
	Asked int
	// Left counts those on the map or beyond it who could have been asked and were
	// not, because of the bounds of a crawl.
	Left int
	// Undrawn counts those who were heard of and for whom the map has no room.
	Undrawn int
	// EndedEarly says that time ran out.
	EndedEarly bool
}

// State is what became of a node.
type State uint8

// The states.
const (
	// Unasked: nobody tells where it is, or it is one of those left.
	Unasked State = iota
	// Answered: it told of itself, and proved who it is.
	Answered
	// Silent: it answers nobody, as it says itself, or as who told of it says.
	Silent
	// Unreached: it was asked, and did not answer.
	Unreached
)

// String returns unasked, answered, silent or unreached.
func (s State) String() string {
	switch s {
	case Answered:
		return "answered"
	case Silent:
		return "silent"
	case Unreached:
		return "unreached"
	}
	return "unasked"
}

// Node is a node on the map.
type Node struct {
	PeerID peer.ID
	// State is Answered, or what Report has is zero.
	State State
	Report
	// SeenBy are those who told of the node, at least one unless it is the
	// map's own.
	SeenBy []peer.ID
}

// Edge is a link between two nodes.
type Edge struct {
	// From made the first claim, To is the other end.
	From, To peer.ID
	// InMesh says that at least one of those who claim the link exchanges pings
	// over it directly.
	InMesh bool
	// RTT is the round trip time by the first claim that has one, 0 if none has.
	RTT time.Duration
	// ClaimedBy are the ends that claim it: From, To or both.
	ClaimedBy []peer.ID
}

// claim is what one node tells.
type claim struct {
	by     peer.ID
	report Report
}

// draft is a map in the making.
type draft struct {
	Map
	nodes map[peer.ID]int
	edges map[[2]peer.ID]int
	// undrawn are those for whom there is no room.
	undrawn map[peer.ID]struct{}
}

// draw makes a map of what was claimed; the first claim is the map maker's own.
// Who claims first is believed where claims differ. state says what became of
// each.
func draw(claims []claim, state func(peer.ID) State) Map {
	d := draft{nodes: make(map[peer.ID]int), edges: make(map[[2]peer.ID]int), undrawn: make(map[peer.ID]struct{})}
	d.Complete = true
	for _, c := range claims {
		if i, ok := d.node(c.by); ok {
			d.Nodes[i].State = Answered
			d.Nodes[i].Report = c.report
		}
		if c.report.TopicPeers > len(c.report.Peers) {
			d.Complete = false
		}
	}
	// First the links of those who answered, so that made-up peers, which come
	// after them, take nobody's place.
	for _, known := range []bool{true, false} {
		for _, c := range claims {
			for _, p := range c.report.Peers {
				if i, ok := d.nodes[p.ID]; known == (ok && d.Nodes[i].State == Answered) {
					d.link(c.by, p)
				}
			}
		}
	}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		if n.State != Answered {
			n.State, d.Complete = state(n.PeerID), false
		}
	}
	d.Undrawn = len(d.undrawn)
	return d.Map
}

// node returns a node's place, and whether there was room for it.
func (d *draft) node(id peer.ID) (int, bool) {
	i, ok := d.nodes[id]
	if ok {
		return i, true
	}
	if len(d.Nodes) == maxNodes {
		d.Complete = false
		d.undrawn[id] = struct{}{} // at most what maxAsked answers hold
		return 0, false
	}
	i = len(d.Nodes)
	d.nodes[id] = i
	d.Nodes = append(d.Nodes, Node{PeerID: id})
	return i, true
}

// link adds what by claims of its link to p.
func (d *draft) link(by peer.ID, p Peer) {
	if by == p.ID {
		return // who claims to be its own peer says nothing
	}
	i, ok := d.node(p.ID)
	if !ok {
		return
	}
	d.Nodes[i].SeenBy = append(d.Nodes[i].SeenBy, by)
	ends := [2]peer.ID{min(by, p.ID), max(by, p.ID)}
	j, ok := d.edges[ends]
	if !ok {
		if len(d.Edges) == maxEdges {
			d.Complete = false
			return
		}
		j = len(d.Edges)
		d.edges[ends] = j
		d.Edges = append(d.Edges, Edge{From: by, To: p.ID})
	}
	e := &d.Edges[j]
	e.ClaimedBy = append(e.ClaimedBy, by)
	e.InMesh = e.InMesh || p.InMesh
	if e.RTT == 0 {
		e.RTT = p.RTT
	}
}
