package discovery

import (
	"net/netip"
	"slices"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestScopeOf(t *testing.T) {
	for text, want := range map[string]scope{
		"/ip4/127.0.0.1/tcp/1":            loopback,
		"/ip4/127.9.9.9/udp/1/quic-v1":    loopback,
		"/ip6/::1/tcp/1":                  loopback,
		"/ip6/::ffff:127.0.0.1/tcp/1":     nowhere,
		"/ip4/10.1.2.3/tcp/1":             private,
		"/ip4/172.17.0.1/tcp/1":           private,
		"/ip4/192.168.1.1/tcp/1":          private,
		"/ip4/100.64.0.1/tcp/1":           private,
		"/ip6/fd00::1/tcp/1":              private,
		"/ip4/1.0.0.1/tcp/1":              public,
		"/ip6/2600::1/tcp/1":              public,
		"/ip4/0.0.0.0/tcp/1":              nowhere,
		"/ip6/fe80::1/tcp/1":              nowhere,
		"/ip4/169.254.1.1/tcp/1":          nowhere,
		"/ip4/224.0.0.251/udp/1/quic-v1":  nowhere,
		"/ip6/ff02::fb/udp/1/quic-v1":     nowhere,
		"/ip4/255.255.255.255/tcp/1":      nowhere,
		"/dns4/example.org/tcp/1":         nowhere,
		"/dns/localhost/tcp/1":            nowhere,
		"/ip4/1.0.0.1/tcp/1/p2p-circuit":  nowhere,
		"/unix/x":                         nowhere,
		"/ip6zone/x/ip6/fe80::1/tcp/1":    nowhere,
		"/ip6/::ffff:192.168.1.1/tcp/1":   nowhere,
		"/ip6/64:ff9b::7f00:1/tcp/1":      nowhere, // NAT64 of 127.0.0.1
		"/ip6/2002:c0a8:101::/tcp/1":      nowhere, // 6to4 of 192.168.1.1
		"/ip4/192.0.2.2/udp/1/quic-v1":    nowhere, // for documents
		"/ip4/240.0.0.1/udp/1/quic-v1":    nowhere,
		"/ip6/::ffff:0:7f00:1/tcp/1/ws":   nowhere,
		"/ip6/2001:db8::1/udp/1/quic-v1":  nowhere, // for documents
		"/ip6/::127.0.0.1/udp/1/quic-v1":  nowhere,
		"/ip4/198.18.0.1/udp/1/quic-v1":   nowhere,
		"/ip4/100.128.0.1/udp/1/quic-v1":  public,
		"/ip4/172.32.0.1/udp/1/quic-v1":   public,
		"/ip4/11.0.0.1/tcp/65535/ws":      public,
		"/ip6/2a00:1450:4001::1/tcp/1/ws": public,
	} {
		if got, ip := scopeOf(ma.StringCast(text)); got != want || ip.IsValid() != (want != nowhere) {
			t.Errorf("the scope of %s is %d (%v), want %d", text, got, ip, want)
		}
	}
	if s, _ := scopeOf(nil); s != nowhere {
		t.Errorf("the scope of nothing is %d", s)
	}
}

func TestDialable(t *testing.T) {
	for text, want := range map[string]bool{
		"/ip4/1.2.3.4/tcp/1":                     true,
		"/ip4/1.2.3.4/tcp/1/ws":                  true,
		"/ip4/1.2.3.4/udp/1/quic-v1":             true,
		"/ip4/1.2.3.4/tcp/0":                     false,
		"/dns4/example.org/tcp/1":                false,
		"/ip4/1.2.3.4/udp/1":                     false,
		"/ip4/1.2.3.4":                           false,
		"/ip4/1.2.3.4/tcp/1/http":                false,
		"/ip4/1.2.3.4/tcp/1/tls/ws":              false,
		"/ip4/1.2.3.4/udp/1/quic-v1/p2p-circuit": false,
		"/ip4/1.2.3.4/udp/1/webrtc-direct":       false,
	} {
		if got := dialable(ma.StringCast(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

func endAt(s scope, remote, local string) end {
	return end{scope: s, remote: []netip.Addr{netip.MustParseAddr(remote)}, local: []netip.Addr{netip.MustParseAddr(local)}}
}

// A node with everything: what is on its interfaces, Docker's included.
const (
	ofLoopback = "/ip4/127.0.0.1/tcp/1"
	ofLAN      = "/ip4/192.168.1.20/tcp/1"
	ofDocker   = "/ip4/172.17.0.1/tcp/1"
	ofWorld    = "/ip4/1.2.3.4/tcp/1"
)

func TestTellable(t *testing.T) {
	all := addrs(ofLoopback, ofLAN, ofDocker, ofWorld, "/dns4/example.org/tcp/1", ofLAN)
	here := endAt(loopback, "127.0.0.1", "127.0.0.1")
	lan := endAt(private, "192.168.1.20", "192.168.1.10")
	world := endAt(public, "1.2.3.4", "5.6.7.8")
	docker := endAt(private, "172.17.0.1", "172.17.0.2")
	for _, tt := range []struct {
		name   string
		of, to end
		want   []string
	}{
		{"both on this machine", here, here, []string{ofLoopback, ofWorld}},
		{"both on the LAN", lan, endAt(private, "192.168.1.30", "192.168.1.10"), []string{ofLAN, ofWorld}},
		{"one on the LAN, to one on this machine", lan, here, []string{ofLAN, ofWorld}},
		{"one on this machine, to one on the LAN that reached us by its address", here, endAt(private, "192.168.1.30", "192.168.1.20"), []string{ofLAN, ofWorld}},
		{"one on this machine, to one on another LAN", here, endAt(private, "10.0.0.3", "10.0.0.1"), []string{ofWorld}},
		{"to the internet, of one on the LAN", lan, world, []string{ofWorld}},
		{"to the internet, of one on this machine", here, world, []string{ofWorld}},
		{"of one on the internet, to one on the LAN", world, lan, []string{ofWorld}},
		{"of one on the internet, to one on this machine", world, here, []string{ofWorld}},
		{"both in Docker", docker, endAt(private, "172.17.0.3", "172.17.0.2"), []string{ofDocker, ofWorld}},
		{"to who is not connected any more", here, end{}, nil},
		{"of who is not connected any more", end{}, here, []string{ofWorld}},
	} {
		if got := texts(tellable(all, tt.of, tt.to)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	var many []ma.Multiaddr
	for i := range 2 * maxAddrs {
		many = append(many, withPort(t, i+1))
	}
	if got := tellable(many, world, world); len(got) != maxAddrs {
		t.Errorf("%d addresses of one peer", len(got))
	}
}

func withPort(t *testing.T, port int) ma.Multiaddr {
	t.Helper()
	c, err := ma.NewComponent("tcp", string([]byte{byte('0' + port/10), byte('0' + port%10)}))
	if err != nil {
		t.Fatal(err)
	}
	return ma.StringCast("/ip4/1.2.3.4").AppendComponent(c)
}

func TestTakeable(t *testing.T) {
	all := addrs(ofLoopback, ofLAN, ofDocker, ofWorld, "/dns4/example.org/tcp/1", "/ip4/1.2.3.4/tcp/0")
	for _, tt := range []struct {
		by   scope
		want []string
	}{
		{loopback, []string{ofLoopback, ofLAN, ofDocker, ofWorld}},
		{private, []string{ofLAN, ofDocker, ofWorld}},
		{public, []string{ofWorld}},
		{nowhere, nil}, // over a relay, or not connected any more
	} {
		if got := texts(takeable(all, end{scope: tt.by})); !slices.Equal(got, tt.want) {
			t.Errorf("told by a peer of scope %d: %v, want %v", tt.by, got, tt.want)
		}
	}
}
