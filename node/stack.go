package node

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// stack is a libp2p host that is put together from libp2p's parts by hand.
// libp2p.New does it by options, and as those can ask for anything, whoever
// calls it links all that libp2p has: WebRTC, WebTransport, port mapping, and a
// framework to choose among them. That is a fifth of the program and of what
// it takes in memory, and code for attackers to try that no node needs.
//
// AutoNAT, which nodes don't answer, and hole punching are left out as well. The
// relay transport is in, so that a peer behind a relay can be a bootstrap peer.
type stack struct {
	*basichost.BasicHost
	observed *observedaddrs.Manager // nil where there is nothing to observe
	quic     *quicreuse.ConnManager
	closing  sync.Once
}

// stackConfig says what a stack is made of.
type stackConfig struct {
	key    crypto.PrivKey
	agent  string                  // what peers are told
	limits network.ResourceManager // the stack closes it
	conns  connmgr.ConnManager     // the stack closes it
	// metrics receives libp2p's metrics; nil keeps none.
	metrics prometheus.Registerer
	// announce replaces the addresses that peers are told, unless it is empty.
	announce []ma.Multiaddr
	// sockets replace QUIC's. With any, as they are simulated, the host does not
	// learn from peers by which addresses they see it.
	sockets []quicreuse.Option
	// outward leaves out what serves others: relays, the ping protocol, and what
	// finds out by which addresses the host is seen.
	outward bool
}

// newStack makes a host that listens on nothing yet.
func newStack(cfg stackConfig) (_ *stack, err error) {
	made := []io.Closer{cfg.limits, cfg.conns} // in order; what fails closes them
	defer func() {
		if err == nil {
			return
		}
		for _, c := range slices.Backward(made) {
			err = errors.Join(err, c.Close())
		}
	}()
	id, peers, err := newPeerstore(cfg.key)
	if err != nil {
		return nil, err
	}
	made = append(made, peers)
	s := &stack{}
	if s.quic, err = newQUIC(cfg); err != nil {
		return nil, err
	}
	made = append(made, s.quic)
	bus := newBus(cfg.metrics)
	net, err := newSwarm(cfg, id, peers, bus)
	if err != nil {
		return nil, err
	}
	made = append(made, net)
	upgrader, err := addTransports(net, cfg, s.quic)
	if err != nil {
		return nil, err
	}
	opts := cfg.basicOptions(bus)
	if !cfg.outward && cfg.sockets == nil {
		if s.observed, err = observedaddrs.NewManager(bus, net); err != nil {
			return nil, fmt.Errorf("making the observer of addresses: %w", err)
		}
		opts.ObservedAddrsManager = s.observed
	}
	if s.BasicHost, err = basichost.NewHost(net, opts); err != nil {
		return nil, fmt.Errorf("making the host: %w", err)
	}
	if s.observed != nil {
		s.observed.Start(net)
	}
	made = []io.Closer{s} // which closes all the others
	if !cfg.outward {
		if err := client.AddTransport(s, upgrader); err != nil {
			return nil, fmt.Errorf("adding the relay transport: %w", err)
		}
	}
	s.Start()
	return s, nil
}

func (cfg stackConfig) basicOptions(bus event.Bus) *basichost.HostOpts {
	opts := &basichost.HostOpts{
		EventBus:             bus,
		ConnManager:          cfg.conns,
		UserAgent:            cfg.agent,
		EnablePing:           !cfg.outward,
		EnableMetrics:        cfg.metrics != nil,
		PrometheusRegisterer: cfg.metrics,
	}
	if len(cfg.announce) > 0 {
		announce := slices.Clone(cfg.announce)
		opts.AddrsFactory = func([]ma.Multiaddr) []ma.Multiaddr { return announce }
	}
	return opts
}

// Close closes the host and all that was made for it. It may be called more
// than once.
func (s *stack) Close() (err error) {
	s.closing.Do(func() {
		if s.observed != nil {
			err = s.observed.Close()
		}
		// The sockets last, as connections say goodbye by them.
		err = errors.Join(err, s.BasicHost.Close(), s.quic.Close())
	})
	return err
}

func newPeerstore(key crypto.PrivKey) (peer.ID, peerstore.Peerstore, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return "", nil, fmt.Errorf("deriving the peer ID: %w", err)
	}
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		return "", nil, fmt.Errorf("making the peerstore: %w", err)
	}
	if err := errors.Join(peers.AddPrivKey(id, key), peers.AddPubKey(id, key.GetPublic())); err != nil {
		return "", nil, errors.Join(fmt.Errorf("adding the key to the peerstore: %w", err), peers.Close())
	}
	return id, peers, nil
}

func newBus(metrics prometheus.Registerer) event.Bus {
	if metrics == nil {
		return eventbus.NewBus()
	}
	return eventbus.NewBus(eventbus.WithMetricsTracer(eventbus.NewMetricsTracer(eventbus.WithRegisterer(metrics))))
}

func newSwarm(cfg stackConfig, id peer.ID, peers peerstore.Peerstore, bus event.Bus) (*swarm.Swarm, error) {
	opts := []swarm.Option{
		swarm.WithResourceManager(cfg.limits),
		// After 100 dials over UDP, or over IPv6, of which 95 failed, libp2p takes
		// the network for a black hole and makes one dial in a hundred. But we
		// redial one peer for as long as it is away: ten minutes of that, and a
		// peer that returns would be out of reach for a quarter of an hour.
		swarm.WithUDPBlackHoleSuccessCounter(nil),
		swarm.WithIPv6BlackHoleSuccessCounter(nil),
	}
	if cfg.metrics != nil {
		opts = append(opts, swarm.WithMetricsTracer(swarm.NewMetricsTracer(swarm.WithRegisterer(cfg.metrics))))
	}
	net, err := swarm.NewSwarm(id, peers, bus, opts...)
	if err != nil {
		return nil, fmt.Errorf("making the swarm: %w", err)
	}
	return net, nil
}
