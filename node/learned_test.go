package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
)

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func newTestDialer(t *testing.T, h host.Host, dir *os.Root, logger *slog.Logger) *dialer {
	t.Helper()
	l, err := newLearned(dir)
	if err != nil {
		t.Fatal(err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &dialer{host: h, learned: l, logger: logger}
}

// TestLearn finds out who answers, over every transport and security protocol.
func TestLearn(t *testing.T) {
	for _, security := range []libp2p.Option{
		libp2p.Security(noise.ID, noise.New),
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
	} {
		server, err := libp2p.New(libp2p.ListenAddrs(loopback()...), libp2p.ShareTCPListener(), security, libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		for _, transport := range []string{"tcp", "ws", "quic-v1"} {
			client := startHost(t, HostConfig{})
			dir := t.TempDir()
			var log strings.Builder
			d := newTestDialer(t, client, openRoot(t, dir), slog.New(slog.NewTextHandler(&log, nil)))
			addr := findTransport(t, server.Network().ListenAddresses(), transport)
			before := len(client.Peerstore().Peers())
			id, err := d.connect(t.Context(), addr.String())
			if err != nil || id != server.ID() {
				t.Errorf("over %s: %v, %v, not %v", transport, id, err, server.ID())
				continue
			}
			if got := len(client.Network().ConnsToPeer(server.ID())); got != 1 {
				t.Errorf("over %s: %d connections", transport, got)
			}
			if peers := client.Peerstore().Peers(); len(peers) != before+1 {
				t.Errorf("over %s: the peerstore knows %v, also somebody who does not exist", transport, peers)
			}
			if !strings.Contains(log.String(), "learned the peer ID") || !strings.Contains(log.String(), id.String()) {
				t.Errorf("over %s: the log does not say so: %s", transport, log.String())
			}
			again, err := newLearned(openRoot(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := again.lookup(addr.String()); !ok || p.PeerID != server.ID() || time.Since(p.LearnedAt) > time.Minute {
				t.Errorf("over %s: remembered %+v", transport, p)
			}
		}
	}
}

func findTransport(t *testing.T, addrs []ma.Multiaddr, transport string) ma.Multiaddr {
	t.Helper()
	for _, a := range addrs {
		if transportOf(a) == transport {
			return a
		}
	}
	t.Fatalf("no %s among %v", transport, addrs)
	return nil
}

// startBelow starts a host at a port below those that systems give out by
// themselves: when the host is closed, another can be had there.
func startBelow(t *testing.T) host.Host {
	t.Helper()
	for port := 10000 + rand.IntN(20000); ; port++ {
		h, err := NewHost(HostConfig{Key: newKey(t), Listen: ListenAt(ma.StringCast("/ip4/127.0.0.1"), port)})
		if errors.Is(err, ErrPortInUse) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
}

// TestLearnedRefusesAnother puts another node at a learned address.
func TestLearnedRefusesAnother(t *testing.T) {
	first := startBelow(t)
	addr := addrOf(t, first, "tcp")
	dir := t.TempDir()
	client := startHost(t, HostConfig{})
	d := newTestDialer(t, client, openRoot(t, dir), nil)
	url := fmt.Sprintf("ws://127.0.0.1:%d", portOf(addr))
	if _, err := d.connect(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second := startHost(t, HostConfig{Listen: []ma.Multiaddr{addr, addr.Encapsulate(ma.StringCast("/ws"))}})

	// A new process, so to speak.
	client2 := startHost(t, HostConfig{})
	d = newTestDialer(t, client2, openRoot(t, dir), nil)
	_, err := d.connect(t.Context(), url)
	if !errors.Is(err, errWrongPeer) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{first.ID().String(), second.ID().String(), filepath.Join(dir, learnedFile), "/p2p/" + second.ID().String()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if len(client2.Network().ConnsToPeer(second.ID())) != 0 {
		t.Error("connected to it all the same")
	}
	// What the message suggests works.
	if _, err := d.connect(t.Context(), addr.String()+"/p2p/"+second.ID().String()); err != nil {
		t.Error(err)
	}
}

// TestDialErrors checks the one line that each kind of failure gets.
func TestDialErrors(t *testing.T) {
	h := startHost(t, HostConfig{})
	other := startHost(t, HostConfig{})
	hangUp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp.Close()
	go func() {
		for {
			c, err := hangUp.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	// Nobody listens at this end of a connection, nor can while it lasts.
	held, err := net.Dial("tcp4", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	closedAddr := held.LocalAddr()
	tcp := func(a net.Addr) string { return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", a.(*net.TCPAddr).Port) }

	d := newTestDialer(t, h, nil, nil)
	for _, tt := range []struct {
		name, addr string
		is         error
		want       string
	}{
		{"refused", tcp(closedAddr) + "/p2p/" + testPeer, nil, tcp(closedAddr) + ": connection refused"},
		{"refused, to learn", tcp(closedAddr), nil, tcp(closedAddr) + ": connection refused"},
		{"hung up", tcp(hangUp.Addr()) + "/p2p/" + testPeer, nil, "is it a libp2p node?"},
		{"hung up, to learn", tcp(hangUp.Addr()) + "/ws", nil, ""},
		{"HTTP port", tcp(web.Listener.Addr()) + "/ws/p2p/" + testPeer, errHTTPServer, "write the node's P2P port, such as 6001"},
		{"HTTP port, to learn", fmt.Sprintf("ws://localhost:%d", web.Listener.Addr().(*net.TCPAddr).Port), errHTTPServer, "/ws: "},
		{"HTTP port, TCP", tcp(web.Listener.Addr()), errNotLibp2p, "write a node's P2P port, such as 6001"},
		{"no such name", "/dns/nothing.invalid/tcp/6001/p2p/" + testPeer, nil, `resolving "nothing.invalid": `},
		{"no such name, to learn", "ws://nothing.invalid:6001", nil, `resolving "nothing.invalid": `},
		{"wrong", addrOf(t, other, "tcp").String() + "/p2p/" + testPeer, errWrongPeer, testPeer + " was named, but " + other.ID().String() + " answers"},
		{"wrong, QUIC", addrOf(t, other, "quic-v1").String() + "/p2p/" + testPeer, errWrongPeer, other.ID().String()},
		{"own ID", "/ip4/192.0.2.1/tcp/6001/p2p/" + h.ID().String(), ErrSelf, "its peer ID"},
		{"own address", addrOf(t, h, "tcp").String(), ErrSelf, "its own addresses"},
		{"own address, another's ID", addrOf(t, h, "ws").String() + "/p2p/" + testPeer, ErrSelf, "its own addresses"},
		{"own address by name", fmt.Sprintf("ws://localhost:%d", portOf(addrOf(t, h, "ws"))), ErrSelf, "its own addresses"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := d.connect(t.Context(), tt.addr)
			if err == nil {
				t.Fatalf("connected to %s", id)
			}
			if tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q lacks %q, or is not %v", err, tt.want, tt.is)
			}
			if errors.Is(err, ErrSelf) && strings.Contains(err.Error(), "remove") {
				t.Errorf("%q is of no use to who named no bootstrap peer", err)
			}
		})
	}
}

// TestTwin meets this node's own key elsewhere.
func TestTwin(t *testing.T) {
	key := newKey(t)
	twin := startHost(t, HostConfig{Key: key})
	h := startHost(t, HostConfig{Key: key})
	d := newTestDialer(t, h, nil, nil)
	for _, addr := range []string{addrOf(t, twin, "tcp").String(), addrOf(t, twin, "quic-v1").String() + "/p2p/" + testPeer} {
		_, err := d.connect(t.Context(), addr)
		if !errors.Is(err, ErrTwin) || !strings.Contains(err.Error(), h.ID().String()) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestLearnedFile(t *testing.T) {
	for name, tt := range map[string]struct{ content, want string }{
		"empty":      {"", "damaged"},
		"cut":        {`{"peers":[{"addr`, "damaged"},
		"no ID":      {`{"peers":[{"address":"/ip4/127.0.0.1/tcp/1"}]}`, "without a peer ID"},
		"bad ID":     {`{"peers":[{"address":"/ip4/127.0.0.1/tcp/1","peer_id":"x"}]}`, "damaged"},
		"no address": {`{"peers":[{"peer_id":"` + testPeer + `"}]}`, "an address of 0 bytes"},
		"twice": {
			`{"peers":[{"address":"a","peer_id":"` + testPeer + `"},{"address":"a","peer_id":"` + testPeer + `"}]}`,
			`"a" twice`,
		},
		"huge": {strings.Repeat(" ", maxLearnedSize+1), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, learnedFile)
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := newLearned(openRoot(t, dir))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v lacks %q or %q", err, tt.want, path)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != tt.content {
				t.Errorf("the file was changed: %q, %v", got, err)
			}
		})
	}
}

func TestLearnedIsBounded(t *testing.T) {
	dir := t.TempDir()
	l, err := newLearned(openRoot(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.Decode(testPeer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxLearned - 1 { // as if each had been remembered
		l.peers = append(l.peers, learnedPeer{Address: fmt.Sprint(i), PeerID: id})
	}
	for _, addr := range []string{"last", "more"} {
		if got, err := l.remember(addr, id, time.Now()); err != nil || got != id {
			t.Fatal(got, err)
		}
	}
	l, err = newLearned(openRoot(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l.lookup("0"); ok || len(l.peers) != maxLearned {
		t.Errorf("%d remembered, the first among them: %v", len(l.peers), ok)
	}
	other, _ := peer.Decode(testRelay)
	if got, err := l.remember("more", other, time.Now()); err != nil || got != id {
		t.Errorf("remember replaced %v by %v, %v", id, got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, learnedFile+".tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file is left: %v", err)
	}
}

func FuzzDecodeLearned(f *testing.F) {
	f.Add([]byte(`{"peers":[{"address":"/ip4/127.0.0.1/tcp/1","peer_id":"` + testPeer + `","learned_at":"2026-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		peers, err := decodeLearned(data)
		for _, p := range peers {
			if err == nil && (p.PeerID.Validate() != nil || p.Address == "") {
				t.Errorf("accepted %+v", p)
			}
		}
	})
}
