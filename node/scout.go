package node

import (
	"crypto/rand"
	"fmt"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
)

// What a scout may have open: status.Mapper has it ask 8 at once, each by one
// connection once it stands, with a stream for the question and some for
// identify, and before that by as many as there are addresses.
const (
	scoutConns   = 64
	scoutStreams = 256
	scoutMemory  = 32 << 20 // bytes
)

// NewScout makes a host that asks strangers in a node's stead, for a crawl of
// the map, and is thrown away after it. It has a key of its own, listens
// nowhere, accepts nothing, and offers nothing but identify: so nobody takes it
// for a member of the topic, and nobody has found a new peer when it has gone.
// What it is it says in its user agent. The caller closes it. The sockets are
// for tests on a simulated network.
func NewScout(version string, sockets ...quicreuse.Option) (host.Host, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of a crawl: %w", err)
	}
	limits, err := newScoutLimits()
	if err != nil {
		return nil, err
	}
	h, err := newStack(stackConfig{
		key:     key,
		agent:   ScoutAgent(version),
		limits:  limits,
		conns:   connmgr.NullConnMgr{},
		sockets: sockets,
		outward: true,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the host of a crawl: %w", err)
	}
	return h, nil
}

// ScoutAgent returns what nodes see that are asked in a crawl.
func ScoutAgent(version string) string {
	if version == "" {
		return "p2ping-map"
	}
	return "p2ping-map/" + version
}

func newScoutLimits() (network.ResourceManager, error) {
	all := rcmgr.ResourceLimits{
		Conns:           scoutConns,
		ConnsInbound:    rcmgr.BlockAllLimit,
		ConnsOutbound:   scoutConns,
		Streams:         scoutStreams,
		StreamsInbound:  scoutStreams,
		StreamsOutbound: scoutStreams,
		FD:              scoutConns,
		Memory:          scoutMemory,
	}
	limits := rcmgr.PartialLimitConfig{System: all, Transient: all}.Build(rcmgr.DefaultLimits.Scale(scoutMemory, scoutConns))
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled(),
		// A whole network may be behind one address; libp2p's own limits would let
		// 16 connections through to it.
		rcmgr.WithConnRateLimiters(newConnRates()),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: scoutConns}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: scoutConns}},
		))
	if err != nil {
		return nil, fmt.Errorf("setting the limits of a crawl: %w", err)
	}
	return m, nil
}
