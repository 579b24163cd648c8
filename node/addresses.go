package node

import (
	"cmp"
	"slices"

	"github.com/libp2p/go-libp2p/core/host"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// OwnAddresses returns the host's addresses as full multiaddrs, ready to be
// another node's bootstrap address: those of its interfaces and those it
// announces. Loopback comes first, as it always works from the same machine,
// and TCP before QUIC before WebSocket.
func OwnAddresses(h host.Host) []string {
	addrs := slices.Clone(h.Addrs())
	if own, err := h.Network().InterfaceListenAddresses(); err == nil {
		addrs = append(addrs, own...)
	}
	addrs = slices.DeleteFunc(ma.Unique(addrs), func(a ma.Multiaddr) bool {
		return checkDialable(a, h.ID()) != nil // the relay transport's bare /p2p-circuit, link-local
	})
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int {
		return cmp.Or(cmp.Compare(addrRank(a), addrRank(b)), a.Compare(b))
	})
	full := make([]string, 0, len(addrs))
	for _, a := range addrs {
		full = append(full, Bootstrap{Addr: a, ID: h.ID()}.String())
	}
	return full
}

// addrRank orders addresses by where they work, then IPv4 before IPv6, then by
// transport.
func addrRank(a ma.Multiaddr) int {
	rank := 0
	switch {
	case manet.IsIPLoopback(a):
	case manet.IsPublicAddr(a):
		rank = 200
	default:
		rank = 100
	}
	if len(a) > 0 && a[0].Protocol().Code == ma.P_IP6 {
		rank += 10
	}
	return rank + slices.Index([]string{"tcp", "quic-v1", "ws"}, transportOf(a))
}

// transportOf names the transport of an address: tcp, ws, wss, quic-v1,
// webtransport, webrtc-direct or p2p-circuit; "" if there is none.
func transportOf(a ma.Multiaddr) string {
	name := ""
	for _, c := range a {
		switch code := c.Protocol().Code; code {
		case ma.P_CIRCUIT:
			return "p2p-circuit"
		case ma.P_TCP, ma.P_QUIC_V1, ma.P_WSS, ma.P_WEBTRANSPORT, ma.P_WEBRTC_DIRECT, ma.P_TLS:
			name = c.Protocol().Name
		case ma.P_WS:
			if name == "tls" {
				name = "wss"
			} else {
				name = "ws"
			}
		}
	}
	return name
}
