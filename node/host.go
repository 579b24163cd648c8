package node

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// HostConfig says what a host is made of. Key is required.
type HostConfig struct {
	// Key is the host's identity.
	Key crypto.PrivKey
	// Listen are the addresses to listen on, with /tcp, /ws or /quic-v1 at
	// their end; nil is DefaultListen(0).
	Listen []ma.Multiaddr
	// Announce replaces the addresses that other peers are told; nil tells them
	// the addresses of all interfaces listened on.
	Announce []ma.Multiaddr
	// Version is told to peers in the user agent.
	Version string
	// Registerer receives libp2p's metrics; nil keeps none.
	Registerer prometheus.Registerer
	// Logger receives what the host can't listen on; nil discards it.
	Logger *slog.Logger
	// QUIC changes QUIC's sockets: for tests on a simulated network. With it, the
	// host does not learn from peers by which addresses they see it.
	QUIC []quicreuse.Option
}

// UserAgent returns what peers see of a p2ping version.
func UserAgent(version string) string {
	if version == "" {
		return "p2ping"
	}
	return "p2ping/" + version
}

// NewHost makes a libp2p host that speaks TCP, QUIC v1 and WebSocket and
// listens on all of cfg.Listen that this machine has: that one of them works
// is enough, the others are logged. A port in use is an error always, a
// [*PortInUseError]: a node that comes up on other ports than it was told is
// not found by its peers. The caller closes the host.
//
// libp2p's own log lines go to its process-wide handler: see the package
// comment. Metrics go to cfg.Registerer, never to the global one.
func NewHost(cfg HostConfig) (host.Host, error) {
	if cfg.Key == nil {
		return nil, errors.New("a host needs a key")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Listen == nil {
		cfg.Listen = DefaultListen(0)
	}
	limits, err := newLimits(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	conns, err := newConnManager()
	if err != nil {
		return nil, errors.Join(err, limits.Close())
	}
	h, err := newStack(stackConfig{
		key:      cfg.Key,
		agent:    UserAgent(cfg.Version),
		limits:   limits,
		conns:    conns,
		metrics:  cfg.Registerer,
		announce: cfg.Announce,
		sockets:  cfg.QUIC,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the libp2p host: %w", err)
	}
	if err := listen(h.Network(), cfg.Listen, cfg.Logger); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}
