package node

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// DefaultListen returns the addresses that a node listens on unless told
// otherwise: those of [ListenAt] on all IPv4 and IPv6 interfaces.
func DefaultListen(port int) []ma.Multiaddr {
	return append(ListenAt(ma.StringCast("/ip4/0.0.0.0"), port), ListenAt(ma.StringCast("/ip6/::"), port)...)
}

// ListenAt returns the addresses of every transport on one port of an IP
// address: TCP, WebSocket on the same TCP port, and QUIC on the UDP port of the
// same number. Port 0 lets the system choose one, which all of them share if
// it can be had.
func ListenAt(ip ma.Multiaddr, port int) []ma.Multiaddr {
	p := strconv.Itoa(port)
	return []ma.Multiaddr{
		ip.Encapsulate(ma.StringCast("/tcp/" + p)),
		ip.Encapsulate(ma.StringCast("/tcp/" + p + "/ws")),
		ip.Encapsulate(ma.StringCast("/udp/" + p + "/quic-v1")),
	}
}

// PortInUseError is returned by [NewHost] when another program has a port that
// it was told to listen on.
type PortInUseError struct {
	// Addr is the address that could not be had.
	Addr ma.Multiaddr
	// Port is its TCP or UDP port.
	Port int
	// Err is what the system said.
	Err error
}

func (e *PortInUseError) Error() string {
	return fmt.Sprintf("port %d is in use: can't listen on %s: choose another with --p2p-port or --shift", e.Port, e.Addr)
}

// Unwrap returns what the system said.
func (e *PortInUseError) Unwrap() error { return e.Err }

// listen makes n listen on addrs, one by one, as libp2p itself is content with
// any one of them and reports nothing of the rest.
func listen(n network.Network, addrs []ma.Multiaddr, logger *slog.Logger) error {
	var shared string // the port that the system chose for the first /0
	var failed []error
	for _, addr := range addrs {
		err := listenOne(n, addr, &shared)
		switch {
		case err == nil:
			continue
		case errors.Is(err, ErrPortInUse):
			return &PortInUseError{Addr: addr, Port: portOf(addr), Err: err}
		case errors.Is(err, syscall.EACCES):
			return fmt.Errorf("listening on %s: %w: ports below 1024 belong to root; choose another with --p2p-port", addr, err)
		case errors.Is(err, swarm.ErrNoTransport):
			return fmt.Errorf("listening on %s: no such transport here: an address to listen on ends in /tcp/PORT, /tcp/PORT/ws or /udp/PORT/quic-v1", addr)
		}
		failed = append(failed, fmt.Errorf("listening on %s: %w", addr, err))
	}
	if len(failed) == len(addrs) && len(addrs) > 0 {
		err := failed[0]
		for _, more := range failed[1:] {
			err = fmt.Errorf("%w; %w", err, more) // on one line, unlike errors.Join
		}
		return err
	}
	for _, err := range failed {
		logger.Info("an address is not listened on, others are", "err", err)
	}
	return nil
}

// listenOne listens on addr. Where addr leaves the port open it tries *shared
// first, and leaves in it the port that it got.
func listenOne(n network.Network, addr ma.Multiaddr, shared *string) error {
	if portOf(addr) != 0 {
		return addListenAddr(n, addr)
	}
	if *shared != "" {
		if err := addListenAddr(n, withPort(addr, *shared)); err == nil {
			return nil
		}
	}
	before := n.ListenAddresses()
	if err := addListenAddr(n, addr); err != nil {
		return err
	}
	if *shared == "" {
		for _, got := range n.ListenAddresses() {
			if !ma.Contains(before, got) {
				*shared = strconv.Itoa(portOf(got))
			}
		}
	}
	return nil
}

// addListenAddr is AddListenAddr of a swarm, which unlike Listen returns errors
// that can be told apart.
func addListenAddr(n network.Network, addr ma.Multiaddr) error {
	if s, ok := n.(*swarm.Swarm); ok {
		return s.AddListenAddr(addr)
	}
	return n.Listen(addr)
}

// portOf returns the TCP or UDP port of addr, or 0.
func portOf(addr ma.Multiaddr) int {
	for _, code := range []int{ma.P_TCP, ma.P_UDP} {
		if s, err := addr.ValueForProtocol(code); err == nil {
			port, _ := strconv.Atoi(s) // the multiaddr was parsed: it is one
			return port
		}
	}
	return 0
}

// withPort returns addr with its TCP or UDP port replaced.
func withPort(addr ma.Multiaddr, port string) ma.Multiaddr {
	out := make(ma.Multiaddr, 0, len(addr))
	for _, c := range addr {
		if code := c.Protocol().Code; code == ma.P_TCP || code == ma.P_UDP {
			if r, err := ma.NewComponent(c.Protocol().Name, port); err == nil {
				c = *r
			}
		}
		out = append(out, c)
	}
	return out
}
