package node

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
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
	// Options come last and override: for tests on a simulated network.
	Options []libp2p.Option
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
	opts, err := hostOptions(cfg)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("starting the libp2p host: %w", err)
	}
	if err := listen(h.Network(), cfg.Listen, cfg.Logger); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// hostOptions leaves out what a node doesn't use: WebTransport and WebRTC, port
// mapping, AutoNAT v2, hole punching. The relay transport stays, so that a
// peer behind a relay can be named as a bootstrap peer.
func hostOptions(cfg HostConfig) ([]libp2p.Option, error) {
	limits, err := newLimits(cfg.Registerer != nil)
	if err != nil {
		return nil, err
	}
	conns, err := newConnManager()
	if err != nil {
		return nil, errors.Join(err, limits.Close())
	}
	ports := &tcpPorts{}
	opts := []libp2p.Option{
		libp2p.Identity(cfg.Key),
		libp2p.UserAgent(UserAgent(cfg.Version)),
		libp2p.Transport(ports.newTCP),
		libp2p.Transport(quic.NewTransport),
		libp2p.Transport(ports.newWebSocket),
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
		libp2p.Security(noise.ID, noise.New),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		// After 100 dials over UDP, or over IPv6, of which 95 failed, libp2p takes
		// the network for a black hole and makes one dial in a hundred. But we
		// redial one peer for as long as it is away: ten minutes of that, and a
		// peer that returns would be out of reach for a quarter of an hour.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
	}
	if len(cfg.Announce) > 0 {
		announce := slices.Clone(cfg.Announce)
		opts = append(opts, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return announce }))
	}
	if cfg.Registerer != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(cfg.Registerer))
	} else {
		// Even without metrics, libp2p's event bus registers some, and globally
		// unless it is given a registry.
		opts = append(opts, libp2p.PrometheusRegisterer(prometheus.NewRegistry()), libp2p.DisableMetrics())
	}
	return append(opts, cfg.Options...), nil
}

// tcpPorts makes the two transports that share TCP ports. libp2p's own option
// for that listens with SO_REUSEPORT. With it, Linux lets a second node of the
// same user listen on the same port without an error, and deals incoming
// connections out between the two.
type tcpPorts struct {
	once   sync.Once // libp2p says not in which order it makes transports
	shared *tcpreuse.ConnMgr
}

func (p *tcpPorts) share(upgrader transport.Upgrader) *tcpreuse.ConnMgr {
	p.once.Do(func() { p.shared = tcpreuse.NewConnMgr(false, upgrader) })
	return p.shared
}

func (p *tcpPorts) newTCP(upgrader transport.Upgrader, limits network.ResourceManager) (*tcpTransport, error) {
	t, err := tcp.NewTCPTransport(upgrader, limits, p.share(upgrader), tcp.DisableReuseport())
	return &tcpTransport{t}, err
}

func (p *tcpPorts) newWebSocket(upgrader transport.Upgrader, limits network.ResourceManager) (*wsTransport, error) {
	t, err := websocket.New(upgrader, limits, p.share(upgrader))
	return &wsTransport{t}, err
}

// tcpTransport and wsTransport are libp2p's, but close without a line in the
// log: now and then, libp2p's listeners return an error of the same text as,
// but other than, the one by which the swarm knows that they were closed.
type (
	tcpTransport  struct{ *tcp.TcpTransport }
	wsTransport   struct{ *websocket.WebsocketTransport }
	quietListener struct{ transport.Listener }
)

func (t *tcpTransport) Listen(addr ma.Multiaddr) (transport.Listener, error) {
	return quiet(t.TcpTransport.Listen(addr))
}

func (t *wsTransport) Listen(addr ma.Multiaddr) (transport.Listener, error) {
	return quiet(t.WebsocketTransport.Listen(addr))
}

func quiet(l transport.Listener, err error) (transport.Listener, error) {
	if err != nil {
		return nil, err
	}
	return quietListener{l}, nil
}

func (l quietListener) Accept() (transport.CapableConn, error) {
	c, err := l.Listener.Accept()
	if err != nil && err.Error() == transport.ErrListenerClosed.Error() {
		return nil, transport.ErrListenerClosed
	}
	return c, err
}
