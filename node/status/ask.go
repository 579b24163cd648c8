package status

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"p2ping/node/discovery"
)

var (
	errSilent   = errors.New("it answers nobody")
	errGrounded = errors.New("there is no host to dial by")
)

// stateAfter returns what a question's outcome makes of a node.
func stateAfter(err error) State {
	switch {
	case err == nil:
		return Answered
	case errors.Is(err, errSilent):
		return Silent
	case errors.Is(err, errGrounded):
		return Unasked
	}
	return Unreached
}

// question asks one node, and returns what it tells: by addresses that may be
// dialled on its word.
func (c *crawl) question(ctx context.Context, q question) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if q.near {
		return c.askOn(ctx, c.cfg.Host, q.to.id)
	}
	if c.scout == nil {
		return Report{}, errGrounded
	}
	addrs := make([]ma.Multiaddr, len(q.addrs))
	for i, a := range q.addrs {
		addrs[i] = a.Multiaddr
	}
	// The handshake proves who answers: nobody else is connected to.
	if err := c.scout.Connect(ctx, peer.AddrInfo{ID: q.to.id, Addrs: addrs}); err != nil {
		return Report{}, fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = c.scout.Network().ClosePeer(q.to.id) }()
	return c.askOn(ctx, c.scout, q.to.id)
}

// askOn asks a peer that h is connected to.
func (m *Mapper) askOn(ctx context.Context, h host.Host, id peer.ID) (r Report, err error) {
	// Who hangs up is not looked for at the addresses that it has claimed.
	s, err := h.NewStream(network.WithNoDial(ctx, "status"), id, Protocol)
	if err != nil && silent(h, id) {
		return Report{}, errSilent
	}
	if err != nil {
		return Report{}, fmt.Errorf("opening a stream: %w", err)
	}
	by := []network.Conn{s.Conn()}
	err = m.terms().Use(ctx, s, func() error {
		tag := topicTag(m.cfg.Topic)
		if _, err := s.Write(tag[:]); err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		if err := s.CloseWrite(); err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		r, err = readReport(s)
		return err
	})
	r.Agent = strings.Map(printable, r.Agent)
	for i := range r.Peers {
		r.Peers[i].Addrs = discovery.Takeable(r.Peers[i].Addrs, by)
	}
	return r, err
}

// printable replaces what could disturb a terminal.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return unicode.ReplacementChar
	}
	return r
}
