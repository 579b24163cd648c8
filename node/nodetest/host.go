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
	quic *quicreuse.ConnManager
	taps []*tap
}

// builder makes a host that listens at an address, with further options.
type builder func(key crypto.PrivKey, listen multiaddr.Multiaddr, opts ...libp2p.Option) (host.Host, error)

// newHost starts the i-th host, which build makes of the options that put it
// on the wire.
func (w *wire) newHost(key crypto.PrivKey, i int, build builder) (*simHost, error) {
	s := &simHost{}
	var err error
	// Address discovery by identify keeps the bubble from ever being idle.
	s.Host, err = build(key, quicAddr(i), s.on(w, address(i)), libp2p.DisableIdentifyAddressDiscovery())
	if err != nil {
		return nil, fmt.Errorf("starting host %d: %w", i, errors.Join(err, s.closeQUIC()))
	}
	return s, nil
}

// on makes the option that has all of the host's packets leave from and arrive
// at one address on the wire.
func (s *simHost) on(w *wire, at *net.UDPAddr) libp2p.Option {
	return libp2p.QUICReuse(func(reset quic.StatelessResetKey, token quic.TokenGeneratorKey) (*quicreuse.ConnManager, error) {
		var err error
		s.quic, err = quicreuse.NewConnManager(reset, token,
			quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source(at.IP), nil }),
			quicreuse.OverrideListenUDP(func(string, *net.UDPAddr) (net.PacketConn, error) {
				t := w.endpoint(at)
				s.taps = append(s.taps, t)
				return t, nil
			}))
		return s.quic, err
	})
}

// scout makes the host of a crawl at an address that no node has, and most
// likely no other scout.
func (w *wire) scout() (host.Host, error) {
	at := &net.UDPAddr{IP: net.IPv4(1, byte(1+rand.N(255)), byte(rand.N(256)), byte(1+rand.N(254))), Port: port}
	s := &simHost{}
	var err error
	if s.Host, err = node.NewScout("", s.on(w, at)); err != nil {
		return nil, errors.Join(err, s.closeQUIC())
	}
	return s, nil
}

// Close closes the host, which tells its peers, and then its QUIC sockets,
// which the host does not own when they are handed to it.
func (s *simHost) Close() error {
	return errors.Join(s.Host.Close(), s.closeQUIC())
}

func (s *simHost) closeQUIC() error {
	if s.quic == nil {
		return nil
	}
	return s.quic.Close()
}

// silence keeps the host from saying anything more, as if its power had gone:
// peers find out by their own timeouts.
func (s *simHost) silence() {
	for _, t := range s.taps {
		t.silence()
	}
}

// plainHost is libp2p as it comes.
func plainHost(key crypto.PrivKey, listen multiaddr.Multiaddr, opts ...libp2p.Option) (host.Host, error) {
	return libp2p.New(append(opts, libp2p.Identity(key), libp2p.ListenAddrs(listen), libp2p.DisableMetrics())...)
}

// source is the address that packets to anywhere leave from.
type source net.IP

func (s source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return net.IP(s), nil }
