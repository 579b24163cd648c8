package client

import (
	"context"
	"net/http"
)

// Map is what a node knows of the network: itself, its topic peers, and what
// these and all those tell that it heard of in turn.
type Map struct {
	// Nodes has the node that made the map first.
	Nodes []MapNode `json:"nodes"`
	Edges []MapEdge `json:"edges"`
	// Complete tells that every node that was heard of was asked, answered, and
	// told of all its peers, so that there are no others, unless one lied.
	Complete bool `json:"complete"`
	// Asked counts the nodes that were asked, at most 256.
	Asked int `json:"asked"`
	// Left counts those that could have been asked and were not: there were too
	// many, time ran out, or too many did not answer of those that one told of.
	Left int `json:"left"`
	// Undrawn counts those that were heard of and are not among Nodes, as these
	// are 1,024 at most.
	Undrawn int `json:"undrawn"`
	// EndedEarly tells that time ran out, which is 15 seconds.
	EndedEarly bool `json:"ended_early"`
}

// MapProgress is how far the making of a [Map] is.
type MapProgress struct {
	// Running tells that one is being made. Else the rest is of the last one.
	Running bool `json:"running"`
	// Asked counts the nodes that have answered, or won't; Known those that were
	// heard of. Neither counts the node that makes the map.
	Asked int `json:"asked"`
	Known int `json:"known"`
}

// States of a [MapNode].
const (
	// MapAnswered tells of itself, and has proved who it is.
	MapAnswered = "answered"
	// MapSilent answers nobody (--status=false), as it says itself or as those say
	// who see it.
	MapSilent = "silent"
	// MapUnreached was asked, and did not answer.
	MapUnreached = "unreached"
	// MapUnasked is one that nobody tells where it is, or one of those left.
	MapUnasked = "unasked"
)

// MapNode is a node on a [Map].
type MapNode struct {
	PeerID string `json:"peer_id"`
	// Answered tells that the node told of itself. Else Agent is empty and the
	// counts are 0: they are not known.
	Answered bool `json:"answered"`
	// State is one of those above: what became of the node.
	State   string `json:"state"`
	Agent   string `json:"agent"`
	Entries int64  `json:"entries"`
	Pings   int64  `json:"pings"`
	// TopicPeers counts all its peers on the topic, 64 of which it tells of at most.
	TopicPeers int `json:"topic_peers"`
	// SeenBy are the peer IDs of those who tell of the node.
	SeenBy []string `json:"seen_by"`
}

// MapEdge is a connection between two nodes on a [Map].
type MapEdge struct {
	From string `json:"from"`
	To   string `json:"to"`
	// InMesh tells that pings are exchanged over it directly.
	InMesh bool `json:"in_mesh"`
	// RTT is the round trip in milliseconds, 0 when nobody told.
	RTT float64 `json:"rtt_ms"`
	// ClaimedBy are the ends that tell of it, one or both.
	ClaimedBy []string `json:"claimed_by"`
}

// Map returns a map of the network. One that was made less than 5 seconds ago is
// given out again, and one for which n strangers were dialled for n times 0.1 s
// longer; else one is made, which takes 15 seconds at most.
func (c *Client) Map(ctx context.Context) (Map, error) {
	return call[Map](ctx, c, http.MethodGet, "/map", nil)
}

// MapProgress returns how far the map is that is being made.
func (c *Client) MapProgress(ctx context.Context) (MapProgress, error) {
	return call[MapProgress](ctx, c, http.MethodGet, "/map/progress", nil)
}
