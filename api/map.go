package api

import (
	"net/http"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/api/client"
	"p2ping/node/status"
)

func (s *Server) getMap(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	m, err := s.node.Map(r.Context())
	if err != nil {
		return err
	}
	return answerJSON(w, mapJSON(m))
}

// getMapProgress tells how far the map under way is, to who waits for it.
func (s *Server) getMapProgress(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	p := s.node.MapProgress()
	return answerJSON(w, client.MapProgress{Running: p.Running, Asked: p.Asked, Known: p.Known})
}

func mapJSON(m status.Map) client.Map {
	out := client.Map{
		Nodes:      make([]client.MapNode, len(m.Nodes)),
		Edges:      make([]client.MapEdge, len(m.Edges)),
		Complete:   m.Complete,
		Asked:      m.Asked,
		Left:       m.Left,
		Undrawn:    m.Undrawn,
		EndedEarly: m.EndedEarly,
	}
	for i, n := range m.Nodes {
		out.Nodes[i] = client.MapNode{
			PeerID:     n.PeerID.String(),
			Answered:   n.State == status.Answered,
			State:      n.State.String(),
			Agent:      n.Agent,
			Entries:    n.Entries,
			Pings:      n.Pings,
			TopicPeers: n.TopicPeers,
			SeenBy:     peerIDs(n.SeenBy),
		}
	}
	for i, e := range m.Edges {
		out.Edges[i] = client.MapEdge{
			From:      e.From.String(),
			To:        e.To.String(),
			InMesh:    e.InMesh,
			RTT:       milliseconds(e.RTT),
			ClaimedBy: peerIDs(e.ClaimedBy),
		}
	}
	return out
}

func peerIDs(ids []peer.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}
