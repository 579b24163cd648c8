package node

import (
	"fmt"
	"net/netip"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/node/catchup"
	"p2ping/node/discovery"
	"p2ping/node/status"
)

// What a node grants the network, whatever machine it runs on. libp2p's own
// limits grow with the machine's memory without a cap, and allow 8 connections
// and one new one in 5 s for each address, which a home or an office behind
// one address exceeds.
const (
	// connsLow and connsHigh are the connection manager's marks: above high, the
	// least useful connections are closed down to low.
	connsLow  = 640
	connsHigh = 896
	// connsGrace is how long a new connection is not closed for being useless.
	connsGrace = time.Minute
	// maxConns is never exceeded; the rest above connsHigh is room for newcomers
	// until the connection manager has made some.
	maxConns         = 1280
	maxConnsInbound  = 1024
	maxConnsOutbound = 512
	// maxHandshakes bounds connections that are not known to be of a peer yet.
	maxHandshakes = 256
	// maxStreamsPerConn is what a connection uses at most on average: GossipSub
	// takes two, all else comes and goes.
	maxStreamsPerConn = 16
	maxFDs            = 1024
	// streamWindow is what yamux, on TCP and WebSocket, reserves for a stream, in
	// bytes: as much as the other side may send unread. Where it can't, it closes
	// the connection, whoever is to blame.
	streamWindow = 256 << 10
	// maxMemory bounds what buffers of all connections together reserve, in
	// bytes. It is reserved, not used: a stream that is read takes next to
	// nothing. So it is enough for connsHigh peers with the two streams of
	// GossipSub, and for all those that others may hold besides, which what
	// follows bounds.
	maxMemory = 1 << 30
	// maxUnnamed bounds the streams that have not said yet what they are for: some
	// for each handshake.
	maxUnnamed = 3 * maxHandshakes
	// maxAsking bounds the streams by which all peers together ask for something,
	// for each protocol but receipts, on which they wait. They last for a round
	// trip, and 5 s to a minute if they are an attack.
	maxAsking = 128
	// maxPushes bounds those by which peers say that they have changed.
	maxPushes = 256
	// maxPeerStreams bounds the streams that one peer may have open here, and
	// maxPeerMemory what they and ours to it reserve, in bytes: enough for three
	// times as many.
	maxPeerStreams = 128
	maxPeerMemory  = 128 << 20
	// maxPeerGossip bounds a peer's streams of GossipSub. It needs one; the one
	// before may not have ended yet.
	maxPeerGossip = 8
	// maxConnsPerIP bounds the connections from one IPv4 address or one IPv6
	// /56: some hundred nodes behind one address, each twice while connecting.
	// newConnsPerIP of them may come at once, then connsPerIPSecond.
	maxConnsPerIP    = 256
	newConnsPerIP    = 256
	connsPerIPSecond = 8
	// sitePrefixes is how many /56 prefixes' worth an IPv6 /48 gets.
	sitePrefixes = 2
)

// newLimits makes the resource manager, which registers its metrics unless
// they are nil. The caller, or the host it is given to, closes it.
func newLimits(metrics prometheus.Registerer) (network.ResourceManager, error) {
	limits := partialLimits().Build(rcmgr.DefaultLimits.Scale(maxMemory, maxFDs))
	opts := []rcmgr.Option{
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: maxConnsPerIP}},
			[]rcmgr.ConnLimitPerSubnet{
				{PrefixLength: 56, ConnCount: maxConnsPerIP},
				{PrefixLength: 48, ConnCount: sitePrefixes * maxConnsPerIP},
			},
		),
		rcmgr.WithConnRateLimiters(newConnRates()),
	}
	if metrics != nil {
		rcmgr.MustRegisterWith(metrics) // twice is fine
		tracer, err := rcmgr.NewStatsTraceReporter()
		if err != nil {
			return nil, fmt.Errorf("tracing the resource manager: %w", err)
		}
		opts = append(opts, rcmgr.WithTraceReporter(tracer))
	} else {
		opts = append(opts, rcmgr.WithMetricsDisabled())
	}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), opts...)
	if err != nil {
		return nil, fmt.Errorf("setting resource limits: %w", err)
	}
	return m, nil
}

// partialLimits are the limits that are not libp2p's own.
func partialLimits() rcmgr.PartialLimitConfig {
	c := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns:           maxConns,
			ConnsInbound:    maxConnsInbound,
			ConnsOutbound:   maxConnsOutbound,
			Streams:         maxConns * maxStreamsPerConn,
			StreamsInbound:  maxConns * maxStreamsPerConn,
			StreamsOutbound: maxConns * maxStreamsPerConn,
			FD:              maxFDs,
			Memory:          maxMemory,
		},
		Transient: rcmgr.ResourceLimits{
			Conns:           maxHandshakes,
			ConnsInbound:    maxHandshakes,
			ConnsOutbound:   maxHandshakes,
			Streams:         maxUnnamed,
			StreamsInbound:  maxUnnamed,
			StreamsOutbound: maxUnnamed,
			FD:              maxHandshakes,
			Memory:          64 << 20,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Streams:         3 * maxPeerStreams,
			StreamsInbound:  maxPeerStreams,
			StreamsOutbound: 2 * maxPeerStreams,
			Memory:          maxPeerMemory,
		},
	}
	limitProtocols(&c)
	return c
}

// limitProtocols sets what each protocol may have open.
func limitProtocols(c *rcmgr.PartialLimitConfig) {
	inbound := rcmgr.ResourceLimits{ // a stream from every peer at once
		Streams:         2 * maxConns,
		StreamsInbound:  maxConns,
		StreamsOutbound: maxConns,
		Memory:          64 << 20,
	}
	asking := rcmgr.ResourceLimits{Streams: maxAsking + maxConns, StreamsInbound: maxAsking, StreamsOutbound: maxConns, Memory: 64 << 20}
	waiting, pushing := asking, asking
	waiting.StreamsInbound, waiting.Streams = maxReceiptWaits, maxReceiptWaits+maxConns
	pushing.StreamsInbound, pushing.Streams = maxPushes, maxPushes+maxConns
	gossipPeer := rcmgr.ResourceLimits{Streams: 2 * maxPeerGossip, StreamsInbound: maxPeerGossip, StreamsOutbound: maxPeerGossip, Memory: 16 << 20}
	// What libp2p grants a peer for protocols of its own.
	identifyPeer := rcmgr.ResourceLimits{Streams: 32, StreamsInbound: 16, StreamsOutbound: 16, Memory: 1 << 20}
	pingPeer := rcmgr.ResourceLimits{Streams: 4, StreamsInbound: 2, StreamsOutbound: 3, Memory: 1 << 20}
	relayPeer := rcmgr.ResourceLimits{Streams: 128, StreamsInbound: 128, StreamsOutbound: 128, Memory: 32 << 20}
	// A hub that everyone connects to at once identifies everyone at once.
	c.Service = map[string]rcmgr.ResourceLimits{identify.ServiceName: inbound}
	c.Protocol = map[protocol.ID]rcmgr.ResourceLimits{
		identify.ID:           inbound,
		identify.IDPush:       pushing,
		ping.ID:               asking,
		circuit.ProtoIDv2Stop: asking,
		catchup.Protocol:      asking,
		discovery.Protocol:    asking,
		status.Protocol:       asking,
		receiptProtocol:       waiting,
	}
	c.ServicePeer = map[string]rcmgr.ResourceLimits{
		identify.ServiceName: identifyPeer,
		ping.ServiceName:     pingPeer,
	}
	c.ProtocolPeer = map[protocol.ID]rcmgr.ResourceLimits{
		identify.ID:           identifyPeer,
		identify.IDPush:       identifyPeer,
		ping.ID:               pingPeer,
		circuit.ProtoIDv2Hop:  relayPeer,
		circuit.ProtoIDv2Stop: relayPeer,

		pubsub.FloodSubID:      gossipPeer,
		pubsub.GossipSubID_v10: gossipPeer,
		pubsub.GossipSubID_v11: gossipPeer,
		pubsub.GossipSubID_v12: gossipPeer,
		pubsub.GossipSubID_v13: gossipPeer,
	}
	c.ProtocolDefault, c.ServiceDefault = inbound, inbound
}

// newConnRates limits new connections for each remote address. Loopback is
// exempt, as it is in libp2p.
func newConnRates() *rate.Limiter {
	perIP := rate.Limit{RPS: connsPerIPSecond, Burst: newConnsPerIP}
	perSite := rate.Limit{RPS: sitePrefixes * connsPerIPSecond, Burst: sitePrefixes * newConnsPerIP}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perIP}},
			IPv6SubnetLimits: []rate.SubnetLimit{
				{PrefixLength: 56, Limit: perIP},
				{PrefixLength: 48, Limit: perSite},
			},
			GracePeriod: time.Minute,
		},
	}
}

func newConnManager() (*connmgr.BasicConnMgr, error) {
	m, err := connmgr.NewConnManager(connsLow, connsHigh, connmgr.WithGracePeriod(connsGrace))
	if err != nil {
		return nil, fmt.Errorf("making the connection manager: %w", err)
	}
	return m, nil
}
