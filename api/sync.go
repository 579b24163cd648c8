package api

import (
	"net/http"
	"time"

	"p2ping/api/client"
	"p2ping/node/catchup"
)

func (s *Server) getSync(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	state, err := s.node.Sync()
	if err != nil {
		return err
	}
	out := client.Sync{
		Entries: state.Entries,
		Pings:   state.Pings,
		Bytes:   state.Bytes,
		Full:    state.Full,
		Floor:   client.Time{Time: time.UnixMilli(state.Floor)},
		Digest:  state.Digest.String(),
		Peers:   make([]client.PeerSync, len(state.Peers)),
	}
	for i, p := range state.Peers {
		out.Peers[i] = comparisonJSON(p)
	}
	return answerJSON(w, out)
}

func comparisonJSON(p catchup.PeerState) client.PeerSync {
	return client.PeerSync{
		PeerID:     p.PeerID.String(),
		ComparedAt: client.Time{Time: p.ComparedAt},
		Agreed:     p.Agreed,
		Missing:    p.Missing,
		Extra:      p.Extra,
		Skew:       milliseconds(p.Skew),
		Error:      p.Err,
	}
}
