package discovery

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// anywhere is a TCP transport that listens wherever it is told, and to nobody.
type anywhere struct{ transport.Transport }

func (anywhere) Protocols() []int          { return []int{ma.P_TCP} }
func (anywhere) Proxy() bool               { return false }
func (anywhere) CanDial(ma.Multiaddr) bool { return false }
func (anywhere) Listen(at ma.Multiaddr) (transport.Listener, error) {
	return &deaf{at: at, closed: make(chan struct{})}, nil
}

type deaf struct {
	transport.Listener
	at     ma.Multiaddr
	closed chan struct{}
}

func (d *deaf) Multiaddr() ma.Multiaddr { return d.at }
func (d *deaf) Close() error            { close(d.closed); return nil }
func (d *deaf) Accept() (transport.CapableConn, error) {
	<-d.closed
	return nil, transport.ErrListenerClosed
}

// TestAnnouncesNoMoreThanItListensOn has a node listen on some addresses: of all
// that the machine has, the local network is told these alone, and of them no
// loopback and no link-local one.
func TestAnnouncesNoMoreThanItListensOn(t *testing.T) {
	for _, test := range []struct{ listen, want []string }{
		{[]string{"/ip4/192.168.1.7/tcp/1"}, []string{"/ip4/192.168.1.7/tcp/1"}},
		{
			[]string{"/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.7/tcp/2", "/ip6/fd00::7/tcp/3", "/ip6/fe80::7/tcp/4"},
			[]string{"/ip4/10.0.0.7/tcp/2", "/ip6/fd00::7/tcp/3"},
		},
		{[]string{"/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"}, nil},
		{nil, nil},
	} {
		peers, err := pstoremem.NewPeerstore()
		if err != nil {
			t.Fatal(err)
		}
		s, err := swarm.NewSwarm(idOf(t, 1), peers, eventbus.NewBus())
		if err != nil {
			t.Fatal(err)
		}
		err = s.AddTransport(anywhere{})
		for _, a := range addrs(test.listen...) {
			err = errors.Join(err, s.AddListenAddr(a))
		}
		if err != nil {
			t.Fatal(err)
		}
		announced, err := lanNetwork{s}.InterfaceListenAddresses()
		if err = errors.Join(err, s.Close(), peers.Close()); err != nil {
			t.Fatal(err)
		}
		got := texts(announced)
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("a node that listens on %v announces %v, want %v", test.listen, got, test.want)
		}
	}
}

// TestTakesWhatIsOnItsLinks has a machine with Docker hear announcements.
func TestTakesWhatIsOnItsLinks(t *testing.T) {
	links := []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24"), netip.MustParsePrefix("172.17.0.1/16"), netip.MustParsePrefix("fd00::7/64")}
	for _, test := range []struct {
		who             string
		announced, want []string
	}{
		{"a machine with Docker", []string{"/ip4/172.17.0.1/tcp/1", "/ip4/192.168.1.8/tcp/1", "/ip6/fd00::8/tcp/1"}, []string{"/ip4/192.168.1.8/tcp/1", "/ip6/fd00::8/tcp/1"}},
		{"a container", []string{"/ip4/172.17.0.2/tcp/1"}, []string{"/ip4/172.17.0.2/tcp/1"}},
		{"this machine", []string{"/ip4/172.17.0.1/tcp/2", "/ip4/192.168.1.7/tcp/2"}, []string{"/ip4/172.17.0.1/tcp/2", "/ip4/192.168.1.7/tcp/2"}},
		{"elsewhere", []string{"/ip4/192.168.2.8/tcp/1", "/ip4/8.8.8.8/tcp/53", "/ip4/127.0.0.1/tcp/1", "/dns4/example.org/tcp/1"}, nil},
		{"nowhere", nil, nil},
	} {
		if got := texts(onLinks(addrs(test.announced...), links)); !slices.Equal(got, test.want) {
			t.Errorf("of %s we take %v, want %v", test.who, got, test.want)
		}
	}
	many := make([]ma.Multiaddr, 0, 100)
	for range cap(many) {
		many = append(many, ma.StringCast("/ip4/192.168.1.8/tcp/1"))
	}
	if n := len(onLinks(many, links)); n != maxAddrs {
		t.Errorf("%d addresses of one announcement, not %d", n, maxAddrs)
	}
}
