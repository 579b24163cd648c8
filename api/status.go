package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"p2ping/api/client"
	"p2ping/node"
)

// connectTimeout bounds how long POST /peers tries.
const connectTimeout = 15 * time.Second

func (s *Server) getID(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	info, err := s.node.Info()
	if err != nil {
		return err
	}
	return answerJSON(w, client.ID{
		PeerID:    info.PeerID.String(),
		PublicKey: info.PublicKey,
		Addresses: list(info.Addresses),
		Topic:     info.Topic,
		Agent:     info.Agent,
		Version:   info.Version,
		StartedAt: client.Time{Time: info.StartedAt},
		Reached:   reachJSON(info.Reached),
	})
}

func reachJSON(all []node.Reach) []client.Reach {
	out := make([]client.Reach, len(all))
	for i, r := range all {
		out[i] = client.Reach{From: r.From, At: client.Time{Time: r.At}}
	}
	return out
}

func (s *Server) getPeers(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	peers := s.node.Peers()
	out := client.Peers{Peers: make([]client.Peer, len(peers))}
	for i, p := range peers {
		out.Peers[i] = peerJSON(p)
	}
	return answerJSON(w, out)
}

func peerJSON(p node.PeerInfo) client.Peer {
	return client.Peer{
		PeerID:      p.PeerID.String(),
		Addresses:   list(p.Addresses),
		Direction:   p.Direction,
		Transport:   p.Transport,
		Security:    p.Security,
		Agent:       p.Agent,
		OnTopic:     p.OnTopic,
		InMesh:      p.InMesh,
		RTT:         milliseconds(p.RTT),
		ConnectedAt: client.Time{Time: p.ConnectedAt},
		Found:       p.Found,
	}
}

// postPeers connects to the body's address.
func (s *Server) postPeers(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	address, _, err := readField(w, r, "address")
	if err != nil {
		return err
	}
	address = strings.TrimSpace(address)
	switch {
	case strings.HasPrefix(address, "{"):
		return unsupported("the body looks like JSON, but is not sent as Content-Type: application/json")
	case address == "":
		return refuse(http.StatusBadRequest, "the address is missing", `send {"address":"/ip4/192.0.2.1/tcp/6001/p2p/12D3..."}`)
	}
	if _, err := node.ParseBootstrap(address); err != nil {
		return refuse(http.StatusBadRequest, err.Error(), "")
	}
	ctx, cancel := context.WithTimeout(r.Context(), connectTimeout)
	defer cancel()
	id, err := s.node.Connect(ctx, address)
	switch {
	case errors.Is(err, node.ErrSelf), errors.Is(err, node.ErrTwin): // somebody is there, and the address is right
		return refuse(http.StatusBadGateway, err.Error(), "")
	case err != nil:
		return refuse(http.StatusBadGateway, err.Error(), "is the other node running, and is its address right?")
	}
	return answerJSON(w, client.Connected{PeerID: id.String()})
}

func (s *Server) getLivez(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	answer(w, http.StatusOK, []byte("{\"alive\":true}\n"))
	return nil
}

// notReady is a problem document that is a [client.Readiness] as well.
type notReady struct {
	refusal
	client.Readiness
}

func (s *Server) getReadyz(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	ready := s.node.Readiness()
	out := client.Readiness{Ready: ready.Ready, Reasons: list(ready.Reasons)}
	if ready.Ready {
		return answerJSON(w, out)
	}
	p := later(http.StatusServiceUnavailable, time.Second, "not ready: "+strings.Join(out.Reasons, "; "), "")
	body, err := marshal(notReady{p.refusal, out})
	if err != nil {
		return err
	}
	p.body = body
	return p
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	s.metrics.ServeHTTP(w, r)
	return nil
}

// list makes an empty slice of nil: a JSON list is never null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
