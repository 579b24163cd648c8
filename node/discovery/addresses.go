package discovery

import (
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Tellable returns where a peer that h is connected to can be reached, as far as
// the peer that to leads to may be told: see tellable. It is at most 8 addresses,
// where the peer was reached first, and none of a peer that is not connected.
func Tellable(h host.Host, id peer.ID, to network.Conn) []ma.Multiaddr {
	conns := h.Network().ConnsToPeer(id)
	if len(conns) == 0 {
		return nil
	}
	return tellable(addrsOf(h, id, conns), endOf(conns), endOf([]network.Conn{to}))
}

// Takeable returns those of the addresses told by a peer, to which by leads,
// that may be dialled: see takeable. It is at most 8 addresses, and none when by
// is empty.
func Takeable(addrs []ma.Multiaddr, by []network.Conn) []ma.Multiaddr {
	return takeable(addrs, endOf(by))
}

// addrsOf returns where a connected peer can be reached: first where it was,
// then where it says.
func addrsOf(h host.Host, id peer.ID, conns []network.Conn) []ma.Multiaddr {
	var addrs []ma.Multiaddr
	for _, c := range conns {
		if c.Stat().Direction == network.DirOutbound {
			addrs = append(addrs, c.RemoteMultiaddr())
		}
	}
	return append(addrs, h.Peerstore().Addrs(id)...)
}
