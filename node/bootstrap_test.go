package node

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	testPeer  = "12D3KooWGdHwnwfUD2xhMWoFzXE7JSqsVcou8mBgJ2i9DVMab3Wi"
	testRelay = "12D3KooWNadcs779qJefw1r1wbbbbiGYQM2gtQsKHcjd7h2CjxbV"
)

func TestParseBootstrap(t *testing.T) {
	for _, tt := range []struct{ in, addr, id string }{
		{"/ip4/127.0.0.1/tcp/6001/p2p/" + testPeer, "/ip4/127.0.0.1/tcp/6001", testPeer},
		{" /ip4/127.0.0.1/tcp/6001/ ", "/ip4/127.0.0.1/tcp/6001", ""},
		{"/ip4/127.0.0.1/tcp/6001/ipfs/" + testPeer, "/ip4/127.0.0.1/tcp/6001", testPeer},
		{"/ip6/2001:db8::1/udp/6001/quic-v1/p2p/" + testPeer, "/ip6/2001:db8::1/udp/6001/quic-v1", testPeer},
		{"/ip6/::1/tcp/6001/ws", "/ip6/::1/tcp/6001/ws", ""},
		{"/dns/example.org/tcp/443/wss", "/dns/example.org/tcp/443/wss", ""},
		{"/dns4/example.org/tcp/443/tls/ws/p2p/" + testPeer, "/dns4/example.org/tcp/443/tls/ws", testPeer},
		{"/ip4/192.0.2.1/tcp/443/tls/sni/example.org/ws", "/ip4/192.0.2.1/tcp/443/tls/sni/example.org/ws", ""},
		{"/dnsaddr/bootstrap.example.org/p2p/" + testPeer, "/dnsaddr/bootstrap.example.org", testPeer},
		{
			"/ip4/192.0.2.1/tcp/6001/p2p/" + testRelay + "/p2p-circuit/p2p/" + testPeer,
			"/ip4/192.0.2.1/tcp/6001/p2p/" + testRelay + "/p2p-circuit", testPeer,
		},
		{"ws://localhost:6001", "/dns/localhost/tcp/6001/ws", ""},
		{"ws://127.0.0.1:6001/", "/ip4/127.0.0.1/tcp/6001/ws", ""},
		{"WS://[::1]:6001", "/ip6/::1/tcp/6001/ws", ""},
		{"wss://example.org", "/dns/example.org/tcp/443/tls/ws", ""},
		{"ws://192.0.2.1", "/ip4/192.0.2.1/tcp/80/ws", ""},
	} {
		b, err := ParseBootstrap(tt.in)
		if err != nil {
			t.Error(err)
			continue
		}
		id := ""
		if b.ID != "" {
			id = b.ID.String()
		}
		if b.Addr.String() != tt.addr || id != tt.id {
			t.Errorf("ParseBootstrap(%q) = %s, %q", tt.in, b.Addr, id)
		}
		again, err := ParseBootstrap(b.String())
		if err != nil || !again.Addr.Equal(b.Addr) || again.ID != b.ID {
			t.Errorf("%q was read back as %v, %v", b, again, err)
		}
	}
}

func TestParseBootstrapRefuses(t *testing.T) {
	for _, tt := range []struct{ in, hint string }{
		{"", "write /ip4/HOST/tcp/PORT/p2p/ID"},
		{"   ", "write /ip4/HOST/tcp/PORT/p2p/ID"},
		{"localhost", "write /ip4/HOST/tcp/PORT/p2p/ID"},
		{"/\xa6", "characters that no address has"},
		{"/ip4/127.0.0.1\x1b[31m/tcp/1", "characters that no address has"},
		{strings.Repeat("/ip4/127.0.0.1", 100), "too long"},

		// Where, but not how; how, but not where.
		{testPeer, "write /ip4/HOST/tcp/PORT/p2p/" + testPeer},
		{"/p2p/" + testPeer, "write /ip4/HOST/tcp/PORT/p2p/" + testPeer},
		{"localhost:6001", "write /dns/localhost/tcp/6001, or ws://localhost:6001"},
		{"192.0.2.1:6001", "write /ip4/192.0.2.1/tcp/6001, or ws://192.0.2.1:6001"},
		{"[::1]:6001", "write /ip6/::1/tcp/6001, or ws://[::1]:6001"},
		{"/ip4/127.0.0.1", "add /tcp/PORT"},
		{"/ip4/127.0.0.1/p2p/" + testPeer, "add /tcp/PORT"},
		{"/tcp/6001", "write /ip4, /ip6 or /dns"},
		{"/unix/tmp/socket", "write /ip4, /ip6 or /dns"},

		// Transports.
		{"/ip4/127.0.0.1/udp/6001", "write /udp/PORT/quic-v1"},
		{"/ip4/127.0.0.1/udp/6001/quic", "write /udp/PORT/quic-v1"},
		{"/ip4/127.0.0.1/udp/6001/quic-v1/webtransport", "write /tcp/PORT"},
		{"/ip4/127.0.0.1/udp/6001/webrtc-direct", "write /tcp/PORT"},
		{"/ip4/127.0.0.1/tcp/6001/http", "write /tcp/PORT"},
		{"/ip4/127.0.0.1/tcp/0", "port 0"},
		{"/ip4/127.0.0.1/udp/0/quic-v1", "port 0"},

		// Addresses.
		{"/ip4/0.0.0.0/tcp/6001", "write the address of the machine"},
		{"/ip6/::/tcp/6001", "write the address of the machine"},
		{"/ip6/fe80::1/tcp/6001", "link-local"},
		{"/ip4/localhost/tcp/6001", "write /dns/localhost/"},
		{"/ip4/127.0.0.1/tcp/66666", `port "66666" is not 1 to 65535`},
		{"/ip4/127.0.0.1/tcp/66666/p2p/" + testPeer, `port "66666" is not 1 to 65535`},
		{"/ip4/127.0.0.1/tcp", "not a multiaddr"},
		{"/ip4/127.0.0.1/tpc/6001", "not a multiaddr"},
		{"/dnsaddr/bootstrap.example.org", "/p2p/ID"},

		// IDs.
		{"/ip4/127.0.0.1/tcp/6001/p2p/", "the peer ID after /p2p/ is missing; `p2ping id`"},
		{"/ip4/127.0.0.1/tcp/6001/p2p/12D3KooW", "has 8 characters and not 52; `p2ping id`"},
		{"/ip4/127.0.0.1/tcp/6001/p2p/" + testPeer + "x", "has 53 characters and not 52"},
		{"/ip4/127.0.0.1/tcp/6001/p2p/" + testPeer[:51] + "0", testPeer[:51] + "0 after /p2p/ is mistyped"},
		{"/ip4/127.0.0.1/tcp/6001/ipfs/PEER", `"PEER" after /p2p/ is not a peer ID, which has 52 characters and begins with 12D3KooW`},
		{"/ip4/127.0.0.1/tcp/6001/p2p/" + testPeer + "/p2p/" + testPeer, "/p2p/ID must come last"},
		{"/ip4/127.0.0.1/p2p/" + testPeer + "/tcp/6001", "/p2p/ID must come last"},

		// Relays.
		{"/p2p-circuit", "/p2p/ID"},
		{"/ip4/192.0.2.1/tcp/6001/p2p/" + testRelay + "/p2p-circuit", "add /p2p/ID"},
		{"/ip4/192.0.2.1/tcp/6001/p2p-circuit/p2p/" + testPeer, "the relay itself needs"},
		{"/p2p/" + testRelay + "/p2p-circuit/p2p/" + testPeer, "the relay itself needs"},
		{"/ip4/192.0.2.1/tcp/0/p2p/" + testRelay + "/p2p-circuit/p2p/" + testPeer, "port 0"},
		{"/ip4/192.0.2.1/tcp/6001/p2p/" + testRelay + "/p2p-circuit/p2p/" + testRelay + "/p2p-circuit/p2p/" + testPeer, "more than one relay"},

		// URLs.
		{"http://localhost:3001", "write ws://HOST:PORT"},
		{"https://localhost:3001", "write wss://HOST:PORT"},
		{"tcp://localhost:6001", "write ws://HOST:PORT"},
		{"ws://", "the host is missing"},
		{"ws://:6001", "the host is missing"},
		{"ws:localhost:6001", "write /ip4"},
		{"ws://user:secret@localhost:6001", "no users and passwords"},
		{"ws://localhost:6001/p2p", "write ws://localhost:6001"},
		{"ws://localhost:6001?a=b", "nothing may follow"},
		{"ws://localhost:66666", "not 1 to 65535"},
		{"ws://localhost:0", "port 0"},
		{"ws://0.0.0.0:6001", "write the address of the machine"},
		{"ws://[fe80::1%25eth0]:6001", "link-local"},
		{"ws://[fe80::1]:6001", "link-local"},
		{"ws://local host:6001", "not a URL"},

		// Several.
		{"/ip4/127.0.0.1/tcp/6001,/ip4/127.0.0.1/tcp/6002", "more than one"},
		{"localhost:6001,localhost:6002", "more than one"},
		{"ws://localhost:6001,ws://localhost:6002", "more than one address; give each by itself: an array in the config file, --bootstrap once"},
		{"ws://localhost:6001 ws://localhost:6002", "more than one"},
		{"wss://example.org,/ip4/127.0.0.1/tcp/6002", "more than one"},
		{"ws://a,b:6001", "more than one"},
	} {
		b, err := ParseBootstrap(tt.in)
		if err == nil {
			t.Errorf("ParseBootstrap(%q) = %q", tt.in, b)
			continue
		}
		if !errors.Is(err, ErrBootstrapAddr) || !strings.Contains(err.Error(), tt.hint) {
			t.Errorf("ParseBootstrap(%q): %q lacks %q", tt.in, err, tt.hint)
		}
	}
}

func FuzzParseBootstrap(f *testing.F) {
	for _, s := range []string{
		"/ip4/127.0.0.1/tcp/6001/p2p/" + testPeer, "ws://localhost:6001", "wss://[::1]", testPeer, "localhost:6001",
		"/ip4/192.0.2.1/tcp/6001/p2p/" + testRelay + "/p2p-circuit/p2p/" + testPeer, "/dnsaddr/a.b/p2p/" + testPeer, "/unix/a", "/\xa6",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBootstrap(s)
		if err != nil {
			if !errors.Is(err, ErrBootstrapAddr) || !utf8.ValidString(err.Error()) {
				t.Fatalf("%q", err)
			}
			return
		}
		again, err := ParseBootstrap(b.String())
		if err != nil || !again.Addr.Equal(b.Addr) || again.ID != b.ID {
			t.Fatalf("%q was read as %q and back as %q, %v", s, b, again, err)
		}
	})
}
