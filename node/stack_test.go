package node

import (
	"bytes"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// TestHostBehindARelay reaches a host that listens on nothing, by way of a
// relay that both dial.
func TestHostBehindARelay(t *testing.T) {
	hop, err := libp2p.New(libp2p.ListenAddrs(loopback()...), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close()
	// Not by an option of the host, which starts it some time later.
	service, err := relay.New(hop, relay.WithInfiniteLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	behind := startHost(t, HostConfig{Listen: []ma.Multiaddr{}})
	behind.SetStreamHandler("/echo", func(s network.Stream) {
		defer s.Close()
		_, _ = io.Copy(s, s)
	})
	info := peer.AddrInfo{ID: hop.ID(), Addrs: hop.Addrs()}
	if err := behind.Connect(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(t.Context(), behind, info); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, HostConfig{})
	via := hop.Addrs()[0].Encapsulate(ma.StringCast("/p2p/" + hop.ID().String() + "/p2p-circuit"))
	if err := h.Connect(t.Context(), peer.AddrInfo{ID: behind.ID(), Addrs: []ma.Multiaddr{via}}); err != nil {
		t.Fatal(err)
	}
	s, err := h.NewStream(t.Context(), behind.ID(), "/echo")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, []byte("hello")) {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestHostClosesTwice(t *testing.T) {
	h := startHost(t, HostConfig{})
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestQUICKeysFollowFromTheHosts: a node that restarts has those it had.
func TestQUICKeysFollowFromTheHosts(t *testing.T) {
	key := newKey(t)
	reset, token, err := quicKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	if again, againToken, _ := quicKeys(key); again != reset || againToken != token {
		t.Error("one key gave different ones")
	}
	if other, otherToken, _ := quicKeys(newKey(t)); other == reset || otherToken == token || bytes.Equal(reset[:], token[:]) {
		t.Error("different keys gave the same")
	}
}
