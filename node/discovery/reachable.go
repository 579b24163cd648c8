package discovery

import (
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// scope is from where an address can be reached.
type scope uint8

const (
	nowhere  scope = iota // no IP address, link-local, unspecified, reserved
	public                // from everywhere
	private               // from the same private network
	loopback              // from the same machine
)

// scopeOf returns an address's scope, and its IP unless that is nowhere.
// Names have none: where a name leads is known only when it is resolved, and
// then to whoever runs its domain.
func scopeOf(a ma.Multiaddr) (scope, netip.Addr) {
	if len(a) == 0 {
		return nowhere, netip.Addr{}
	}
	for _, c := range a {
		if c.Protocol().Code == ma.P_CIRCUIT {
			return nowhere, netip.Addr{} // its IP is the relay's
		}
	}
	raw, err := manet.ToIP(a)
	if err != nil {
		return nowhere, netip.Addr{}
	}
	ip, ok := netip.AddrFromSlice(raw)
	if a[0].Protocol().Code == ma.P_IP4 {
		ip = ip.Unmap() // net.IP has them mapped
	}
	switch {
	case !ok || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || wrapsIPv4(ip):
		return nowhere, netip.Addr{}
	case ip.IsLoopback():
		return loopback, ip
	case manet.IsPrivateAddr(a):
		return private, ip
	case manet.IsPublicAddr(a):
		return public, ip
	}
	return nowhere, netip.Addr{}
}

// wrapsIPv4 reports whether an IPv6 address stands for an IPv4 address, whose
// scope would be another: mapped, NAT64, 6to4, Teredo. No node listens on one.
func wrapsIPv4(ip netip.Addr) bool {
	if ip.Is4() {
		return false
	}
	b := ip.As16()
	return ip.Is4In6() ||
		slices.Equal(b[:4], []byte{0x00, 0x64, 0xff, 0x9b}) ||
		slices.Equal(b[:2], []byte{0x20, 0x02}) ||
		slices.Equal(b[:4], []byte{0x20, 0x01, 0x00, 0x00})
}

// end is one end of the connections to a peer, as this node sees them.
type end struct {
	scope  scope // the nearest by which it is connected
	remote []netip.Addr
	local  []netip.Addr
}

// endOf looks at the connections to one peer.
func endOf(conns []network.Conn) end {
	var e end
	for _, c := range conns {
		s, ip := scopeOf(c.RemoteMultiaddr())
		if s == nowhere {
			continue
		}
		e.scope = max(e.scope, s)
		e.remote = append(e.remote, ip)
		if _, ip := scopeOf(c.LocalMultiaddr()); ip.IsValid() {
			e.local = append(e.local, ip)
		}
	}
	return e
}

// tellable returns those of a peer's addresses that another may be told, the
// rest being of no use to it and none of its business:
//
//   - loopback, if both are on this machine, and it is the one it came by;
//   - private, if the other did not come from outside, and it is the very
//     address that the peer came by, or, for a peer on this machine, the one by
//     which the other reached us. So what else the peer has, such as Docker's
//     172.17.0.1, stays with it;
//   - public, always.
func tellable(addrs []ma.Multiaddr, of, to end) []ma.Multiaddr {
	var told []ma.Multiaddr
	for _, a := range addrs {
		if len(told) == maxAddrs {
			break
		}
		s, ip := scopeOf(a)
		ok := false
		switch s {
		case loopback:
			ok = to.scope == loopback && slices.Contains(of.remote, ip)
		case private:
			came := slices.Contains(of.remote, ip) || of.scope == loopback && slices.Contains(to.local, ip)
			ok = to.scope >= private && came
		case public:
			ok = to.scope != nowhere
		}
		if ok && dialable(a) && !slices.ContainsFunc(told, a.Equal) {
			told = append(told, a)
		}
	}
	return told
}

// takeable returns those of the addresses told by a peer that may be dialled.
// A peer that is reached over the internet could else have this node search
// the private network that it is in.
func takeable(addrs []ma.Multiaddr, by end) []ma.Multiaddr {
	var taken []ma.Multiaddr
	for _, a := range addrs {
		s, _ := scopeOf(a)
		if s != nowhere && s <= max(by.scope, public) && by.scope != nowhere && dialable(a) && len(taken) < maxAddrs {
			taken = append(taken, a)
		}
	}
	return taken
}

// dialable reports whether an address is an IP address and a transport of ours,
// and nothing more that would have names looked up or servers addressed.
func dialable(a ma.Multiaddr) bool {
	if len(a) < 2 || len(a) > 3 || len(a.Bytes()) > maxAddr {
		return false
	}
	if ip := a[0].Protocol().Code; ip != ma.P_IP4 && ip != ma.P_IP6 {
		return false
	}
	codes := []int{a[1].Protocol().Code}
	if port := a[1].Value(); port == "0" {
		return false
	}
	if len(a) == 3 {
		codes = append(codes, a[2].Protocol().Code)
	}
	return slices.Equal(codes, []int{ma.P_TCP}) ||
		slices.Equal(codes, []int{ma.P_TCP, ma.P_WS}) ||
		slices.Equal(codes, []int{ma.P_UDP, ma.P_QUIC_V1})
}
