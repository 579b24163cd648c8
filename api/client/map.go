package client

import (
	"context"
	"net/http"
)

// Map is what a node knows of the network: itself, its topic peers, and what
// these tell of theirs.
type Map struct {
	// Nodes has the node that was asked first.
	Nodes []MapNode `json:"nodes"`
	Edges []MapEdge `json:"edges"`
	// Complete tells that every node on the map told of all its peers, so that
	// there are no others, unless one lied.
	Complete bool `json:"complete"`
}

// MapNode is a node on a [Map].
type MapNode struct {
	PeerID string `json:"peer_id"`
	// Answered tells that the node told of itself. Else Agent is empty and the
	// counts are 0: they are not known.
	Answered bool   `json:"answered"`
	Agent    string `json:"agent"`
	Entries  int64  `json:"entries"`
	Pings    int64  `json:"pings"`
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

// Map returns a map of the network that is at most 2 seconds old.
func (c *Client) Map(ctx context.Context) (Map, error) {
	return call[Map](ctx, c, http.MethodGet, "/map", nil)
}
