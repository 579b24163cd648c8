package node

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

// addTransports gives a network TCP, QUIC and WebSocket. It returns what turns
// a connection into one that is encrypted and carries streams.
func addTransports(n transport.TransportNetwork, cfg stackConfig, sockets *quicreuse.ConnManager) (transport.Upgrader, error) {
	upgrader, err := newUpgrader(cfg.key, cfg.limits)
	if err != nil {
		return nil, err
	}
	// TCP and WebSocket share ports, without SO_REUSEPORT. With it, Linux lets a
	// second node of the same user listen on the same port without an error,
	// and deals incoming connections out between the two.
	ports := tcpreuse.NewConnMgr(false, upgrader)
	plain, err := tcp.NewTCPTransport(upgrader, cfg.limits, ports, tcp.DisableReuseport())
	if err != nil {
		return nil, fmt.Errorf("making the TCP transport: %w", err)
	}
	ws, err := websocket.New(upgrader, cfg.limits, ports)
	if err != nil {
		return nil, fmt.Errorf("making the WebSocket transport: %w", err)
	}
	quic, err := libp2pquic.NewTransport(cfg.key, sockets, nil, nil, cfg.limits)
	if err != nil {
		return nil, fmt.Errorf("making the QUIC transport: %w", err)
	}
	for _, t := range []transport.Transport{&tcpTransport{plain}, quic, &wsTransport{ws}} {
		if err := n.AddTransport(t); err != nil {
			return nil, fmt.Errorf("adding a transport: %w", err)
		}
	}
	return upgrader, nil
}

// newUpgrader secures connections by TLS, or else Noise, and multiplexes them by
// yamux.
func newUpgrader(key crypto.PrivKey, limits network.ResourceManager) (transport.Upgrader, error) {
	muxers := []tptu.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	withTLS, err := libp2ptls.New(libp2ptls.ID, key, muxers)
	if err != nil {
		return nil, fmt.Errorf("setting TLS up: %w", err)
	}
	withNoise, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return nil, fmt.Errorf("setting Noise up: %w", err)
	}
	upgrader, err := tptu.New([]sec.SecureTransport{withTLS, withNoise}, muxers, nil, limits, nil)
	if err != nil {
		return nil, fmt.Errorf("making the upgrader: %w", err)
	}
	return upgrader, nil
}

// newQUIC makes QUIC's sockets, which the resource manager guards: they count a
// connection before its handshake, and have an address prove itself when too
// many come from it.
func newQUIC(cfg stackConfig) (*quicreuse.ConnManager, error) {
	reset, token, err := quicKeys(cfg.key)
	if err != nil {
		return nil, err
	}
	opts := []quicreuse.Option{
		quicreuse.ConnContext(func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			addr, err := quicreuse.ToQuicMultiaddr(info.RemoteAddr, quic.Version1)
			if err != nil {
				addr = nil // the resource manager decides
			}
			scope, err := cfg.limits.OpenConnection(network.DirInbound, false, addr)
			if err != nil {
				return ctx, err
			}
			ctx = network.WithConnManagementScope(ctx, scope)
			context.AfterFunc(ctx, scope.Done)
			return ctx, nil
		}),
		quicreuse.VerifySourceAddress(func(addr net.Addr) bool { return cfg.limits.VerifySourceAddress(addr) }),
	}
	if cfg.metrics != nil {
		opts = append(opts, quicreuse.EnableMetrics(cfg.metrics))
	}
	m, err := quicreuse.NewConnManager(reset, token, append(opts, cfg.sockets...)...)
	if err != nil {
		return nil, fmt.Errorf("setting QUIC up: %w", err)
	}
	return m, nil
}

// quicKeys derives from the host's key those by which it knows, after a
// restart, the connections and the tokens that it had given out.
func quicKeys(key crypto.PrivKey) (reset quic.StatelessResetKey, token quic.TokenGeneratorKey, err error) {
	raw, err := key.Raw()
	if err != nil {
		return reset, token, fmt.Errorf("reading the host's key: %w", err)
	}
	for info, to := range map[string][]byte{
		"libp2p quic stateless reset key": reset[:],
		"libp2p quic token generator key": token[:],
	} {
		derived, err := hkdf.Key(sha256.New, raw, nil, info, len(to))
		if err != nil {
			return reset, token, fmt.Errorf("deriving QUIC's keys: %w", err)
		}
		copy(to, derived)
	}
	return reset, token, nil
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
