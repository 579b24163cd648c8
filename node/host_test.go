package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

func newKey(t *testing.T) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// loopback listens on one port of 127.0.0.1 with every transport.
func loopback() []ma.Multiaddr {
	return []ma.Multiaddr{
		ma.StringCast("/ip4/127.0.0.1/tcp/0"),
		ma.StringCast("/ip4/127.0.0.1/tcp/0/ws"),
		ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1"),
	}
}

func startHost(t *testing.T, cfg HostConfig) host.Host {
	t.Helper()
	if cfg.Key == nil {
		cfg.Key = newKey(t)
	}
	if cfg.Listen == nil {
		cfg.Listen = loopback()
	}
	h, err := NewHost(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// listening returns what the host listens on. The relay transport's address is
// no listener.
func listening(h host.Host) []ma.Multiaddr {
	return slices.DeleteFunc(h.Network().ListenAddresses(), func(a ma.Multiaddr) bool { return transportOf(a) == "p2p-circuit" })
}

// addrOf returns the host's address with a transport.
func addrOf(t *testing.T, h host.Host, transport string) ma.Multiaddr {
	t.Helper()
	for _, a := range listening(h) {
		if transportOf(a) == transport {
			return a
		}
	}
	t.Fatalf("no %s among %v", transport, listening(h))
	return nil
}

func TestNewHostSharesOnePort(t *testing.T) {
	for {
		h := startHost(t, HostConfig{})
		ports := make(map[int]bool)
		var transports []string
		for _, a := range listening(h) {
			ports[portOf(a)] = true
			transports = append(transports, transportOf(a))
		}
		slices.Sort(transports)
		if !slices.Equal(transports, []string{"quic-v1", "tcp", "ws"}) {
			t.Fatalf("listening on %v: not three transports", listening(h))
		}
		if len(ports) == 1 {
			return
		}
		// The system chose it for TCP, and somebody else may have it for UDP.
		udp, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", portOf(addrOf(t, h, "tcp"))))
		if err == nil {
			udp.Close()
			t.Fatalf("listening on %v: not on one port, which was free", listening(h))
		}
	}
}

func TestNewHostListensOnOne(t *testing.T) {
	for _, listen := range []string{
		"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/tcp/0",
	} {
		t.Run(strings.ReplaceAll(listen, "/", " "), func(t *testing.T) {
			addr := ma.StringCast(listen)
			if addr[0].Protocol().Code == ma.P_IP6 {
				l, err := net.Listen("tcp6", "[::1]:0")
				if err != nil {
					t.Skip("no IPv6 here: ", err)
				}
				l.Close()
			}
			a := startHost(t, HostConfig{Listen: []ma.Multiaddr{addr}})
			b := startHost(t, HostConfig{Listen: []ma.Multiaddr{}})
			if got := listening(a); len(got) != 1 || transportOf(got[0]) != transportOf(addr) {
				t.Fatalf("listening on %v", got)
			}
			if len(listening(b)) != 0 {
				t.Fatalf("listening on %v, not nothing", listening(b))
			}
			if err := b.Connect(t.Context(), peer.AddrInfo{ID: a.ID(), Addrs: listening(a)}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDefaultListen(t *testing.T) {
	want := "[/ip4/0.0.0.0/tcp/6001 /ip4/0.0.0.0/tcp/6001/ws /ip4/0.0.0.0/udp/6001/quic-v1" +
		" /ip6/::/tcp/6001 /ip6/::/tcp/6001/ws /ip6/::/udp/6001/quic-v1]"
	if got := fmt.Sprint(DefaultListen(6001)); got != want {
		t.Errorf("DefaultListen(6001) = %s, want %s", got, want)
	}
}

func TestOwnAddressesCanBePasted(t *testing.T) {
	h := startHost(t, HostConfig{Listen: ListenAt(ma.StringCast("/ip4/127.0.0.1"), 0)})
	own := OwnAddresses(h)
	if len(own) == 0 || !strings.HasPrefix(own[0], "/ip4/127.0.0.1/tcp/") {
		t.Fatalf("OwnAddresses = %v: loopback TCP is not first", own)
	}
	for _, s := range own {
		b, err := ParseBootstrap(s)
		if err != nil {
			t.Error(err)
			continue
		}
		if b.ID != h.ID() || b.String() != s {
			t.Errorf("%q was read back as %q", s, b)
		}
	}
}

func TestNewHostPortInUse(t *testing.T) {
	other := startHost(t, HostConfig{})
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for name, addr := range map[string]string{
		"another node's TCP":  addrOf(t, other, "tcp").String(),
		"another node's WS":   addrOf(t, other, "ws").String(),
		"another node's QUIC": addrOf(t, other, "quic-v1").String(),
		"TCP":                 fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", tcp.Addr().(*net.TCPAddr).Port),
		"UDP":                 fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", udp.LocalAddr().(*net.UDPAddr).Port),
	} {
		t.Run(name, func(t *testing.T) {
			a := ma.StringCast(addr)
			// One address that works does not excuse the other.
			h, err := NewHost(HostConfig{Key: newKey(t), Listen: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0"), a}})
			if err == nil {
				h.Close()
				t.Fatal("no error")
			}
			inUse, ok := errors.AsType[*PortInUseError](err)
			if !ok || inUse.Port != portOf(a) {
				t.Fatalf("%T: %v", err, err)
			}
			if want := fmt.Sprintf("port %d is in use: ", portOf(a)); !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "--shift") {
				t.Errorf("%q says nothing of what to do", err)
			}
		})
	}
}

func TestNewHostWithoutSomeAddresses(t *testing.T) {
	var log strings.Builder
	listen := append(loopback(), ma.StringCast("/ip6/2001:db8::1/tcp/0"))
	h := startHost(t, HostConfig{Listen: listen, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if got := len(listening(h)); got != 3 {
		t.Errorf("listening on %d addresses, not 3", got)
	}
	if !strings.Contains(log.String(), "/ip6/2001:db8::1/tcp/0") {
		t.Errorf("the log says nothing of it: %q", log.String())
	}
	if h, err := NewHost(HostConfig{Key: newKey(t), Listen: listen[3:]}); err == nil {
		h.Close()
		t.Error("no error without any address")
	}
	if h, err := NewHost(HostConfig{Key: newKey(t), Listen: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/udp/0/webrtc-direct")}}); err == nil {
		h.Close()
		t.Error("no error for a transport that is not there")
	}
}

// What is wrong with each of several addresses is said on one line.
func TestNewHostWithoutAnyAddress(t *testing.T) {
	listen := ListenAt(ma.StringCast("/ip4/192.0.2.1"), 0)
	h, err := NewHost(HostConfig{Key: newKey(t), Listen: listen})
	if err == nil {
		h.Close()
		t.Fatal("no error")
	}
	if _, ok := errors.AsType[*net.OpError](err); !ok || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q", err)
	}
	parts := strings.Split(err.Error(), "; listening on ")
	for i, addr := range listen {
		if len(parts) != len(listen) || !strings.Contains(parts[i], addr.String()+": ") {
			t.Fatalf("got %q", parts)
		}
	}
}

func TestNewHostAnnounce(t *testing.T) {
	announce := ma.StringCast("/dns4/ping.example.org/tcp/6001")
	h := startHost(t, HostConfig{Announce: []ma.Multiaddr{announce}})
	if got := h.Addrs(); len(got) != 1 || !got[0].Equal(announce) {
		t.Errorf("announced %v", got)
	}
	own := OwnAddresses(h)
	if len(own) != 4 || !strings.Contains(strings.Join(own, " "), announce.String()) {
		t.Errorf("OwnAddresses = %v", own)
	}
}

func TestNewHostMetrics(t *testing.T) {
	global := gathered(t, prometheus.DefaultGatherer)
	registry := prometheus.NewRegistry()
	a := startHost(t, HostConfig{Registerer: registry, Version: "1.2.3"})
	b := startHost(t, HostConfig{Registerer: registry}) // twice is no panic
	c := startHost(t, HostConfig{})
	for _, h := range []host.Host{a, c} {
		if err := b.Connect(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err != nil {
			t.Fatal(err)
		}
	}
	if names := gathered(t, registry); !slices.Contains(names, "libp2p_rcmgr_connections") {
		t.Errorf("no libp2p_rcmgr_connections among %v", names)
	}
	if names := gathered(t, prometheus.DefaultGatherer); !slices.Equal(names, global) {
		t.Errorf("the global registry got %v", names)
	}
	if agent := agentOf(b, a.ID()); agent != "p2ping/1.2.3" {
		t.Errorf("agent %q", agent)
	}
}

func gathered(t *testing.T, g prometheus.Gatherer) []string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "libp2p_") {
			names = append(names, f.GetName())
		}
	}
	return names
}

// TestLimitsLetALANIn opens as many connections from one address as the
// constants promise, and no more.
func TestLimitsLetALANIn(t *testing.T) {
	for _, from := range []string{"/ip4/198.51.100.7/tcp/1234", "/ip6/2001:db8:1:2::7/tcp/1234"} {
		limits, err := newLimits(nil)
		if err != nil {
			t.Fatal(err)
		}
		var scopes []network.ConnManagementScope
		for {
			s, err := limits.OpenConnection(network.DirInbound, false, ma.StringCast(from))
			if err != nil {
				break
			}
			id, err := peer.IDFromPublicKey(newKey(t).GetPublic())
			if err == nil {
				err = s.SetPeer(id)
			}
			if err != nil {
				t.Fatal(err)
			}
			scopes = append(scopes, s)
		}
		if len(scopes) != maxConnsPerIP {
			t.Errorf("%d connections from %s, not %d", len(scopes), from, maxConnsPerIP)
		}
		for _, s := range scopes {
			s.Done()
		}
		limits.Close()
	}
}

func TestLimitsBoundTheWhole(t *testing.T) {
	limits, err := newLimits(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer limits.Close()
	n := 0
	for ; n < 2*maxConns; n++ {
		from := fmt.Sprintf("/ip4/198.%d.%d.7/tcp/1234", n/256, n%256)
		s, err := limits.OpenConnection(network.DirInbound, false, ma.StringCast(from))
		if err != nil {
			break
		}
		id, _ := peer.IDFromPublicKey(newKey(t).GetPublic())
		if err := s.SetPeer(id); err != nil {
			break
		}
	}
	if n != maxConnsInbound {
		t.Errorf("%d connections, not %d", n, maxConnsInbound)
	}
}
