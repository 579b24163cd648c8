package nodetest

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"

	"p2ping/node"
)

// port is the UDP port every simulated host listens on.
const port = 4001

// identity returns the i-th node's key under a seed: the same in every run.
func identity(seed uint64, i int) crypto.PrivKey {
	var material [ed25519.SeedSize]byte
	binary.BigEndian.PutUint64(material[:], seed)
	binary.BigEndian.PutUint64(material[8:], uint64(i))
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(material[:]))
	if err != nil {
		panic(err) // a well-formed key, by construction
	}
	return key
}

// address returns where the i-th node listens: 1.0.0.1 and up, because libp2p
// treats private and loopback addresses in ways of their own.
func address(i int) *net.UDPAddr {
	return &net.UDPAddr{IP: net.IPv4(1, 0, byte((i+1)>>8), byte(i+1)), Port: port}
}

// quicAddr is address as a multiaddr.
func quicAddr(i int) multiaddr.Multiaddr {
	a := address(i)
	return multiaddr.StringCast(fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", a.IP, a.Port))
}

// simHost is a real libp2p host whose UDP socket is a tap on the wire.
type simHost struct {
	host.Host
	taps []*tap
}

// builder makes a host that listens at an address, by these sockets.
type builder func(key crypto.PrivKey, listen multiaddr.Multiaddr, sockets []quicreuse.Option) (host.Host, error)

// newHost starts the i-th host, which build makes of the sockets that put it
// on the wire.
func (w *wire) newHost(key crypto.PrivKey, i int, build builder) (*simHost, error) {
	s := &simHost{}
	var err error
	if s.Host, err = build(key, quicAddr(i), s.on(w, address(i))); err != nil {
		return nil, fmt.Errorf("starting host %d: %w", i, err)
	}
	return s, nil
}

// on makes the sockets that have all of the host's packets leave from and
// arrive at one address on the wire.
func (s *simHost) on(w *wire, at *net.UDPAddr) []quicreuse.Option {
	return []quicreuse.Option{
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source(at.IP), nil }),
		quicreuse.OverrideListenUDP(func(string, *net.UDPAddr) (net.PacketConn, error) {
			t := w.endpoint(at)
			s.taps = append(s.taps, t)
			return t, nil
		}),
	}
}

// scout makes the host of a crawl at an address that no node has, and most
// likely no other scout.
func (w *wire) scout() (host.Host, error) {
	at := &net.UDPAddr{IP: net.IPv4(1, byte(1+rand.N(255)), byte(rand.N(256)), byte(1+rand.N(254))), Port: port}
	s := &simHost{}
	var err error
	if s.Host, err = node.NewScout("", s.on(w, at)...); err != nil {
		return nil, err
	}
	return s, nil
}

// silence keeps the host from saying anything more, as if its power had gone:
// peers find out by their own timeouts.
func (s *simHost) silence() {
	for _, t := range s.taps {
		t.silence()
	}
}

// plainHost is libp2p as it comes, with the sockets, which it does not close by
// itself when they are handed to it.
type plainHost struct {
	host.Host
	quic *quicreuse.ConnManager
}

func newPlainHost(key crypto.PrivKey, listen multiaddr.Multiaddr, sockets []quicreuse.Option) (host.Host, error) {
	h := &plainHost{}
	reuse := func(reset quic.StatelessResetKey, token quic.TokenGeneratorKey) (_ *quicreuse.ConnManager, err error) {
		h.quic, err = quicreuse.NewConnManager(reset, token, sockets...)
		return h.quic, err
	}
	var err error
	// Address discovery by identify keeps the bubble from ever being idle.
	h.Host, err = libp2p.New(libp2p.QUICReuse(reuse), libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.Identity(key), libp2p.ListenAddrs(listen), libp2p.DisableMetrics())
	if err == nil {
		return h, nil
	}
	if h.quic != nil {
		err = errors.Join(err, h.quic.Close())
	}
	return nil, err
}

func (h *plainHost) Close() error { return errors.Join(h.Host.Close(), h.quic.Close()) }

// source is the address that packets to anywhere leave from.
type source net.IP

func (s source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return net.IP(s), nil }
