package discovery

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	ma "github.com/multiformats/go-multiaddr"
)

// mdnsCheck is how often the addresses announced are compared with those there
// are, and how soon a start that failed is tried again.
const mdnsCheck = 30 * time.Second

// mdnsName is the service's name: its own for each topic, so that networks
// don't mix, and within DNS-SD's 15 characters.
func mdnsName(topic string) string {
	sum := sha256.Sum256([]byte(topic))
	return fmt.Sprintf("_p2p-%x._udp", sum[:4])
}

// announcer announces a host on the local network, and hears of others.
type announcer struct {
	host   host.Host
	name   string
	take   func(record)
	logger *slog.Logger
	up     atomic.Bool
}

func newAnnouncer(h host.Host, topic string, take func(record), logger *slog.Logger) *announcer {
	return &announcer{host: h, name: mdnsName(topic), take: take, logger: logger}
}

// running reports whether the host is announced now. A nil announcer is not.
func (a *announcer) running() bool { return a != nil && a.up.Load() }

// run announces until ctx ends, anew whenever the addresses have changed.
func (a *announcer) run(ctx context.Context) {
	ticker := time.NewTicker(mdnsCheck)
	defer ticker.Stop()
	last := ""
	for ctx.Err() == nil {
		lan := lanHost{a.host}
		addrs, _ := lan.Network().InterfaceListenAddresses() // without any, starting fails and says so
		s := mdns.NewMdnsService(lan, a.name, a)
		err := s.Start()
		a.up.Store(err == nil)
		if err != nil && err.Error() != last {
			a.logger.Warn("no mDNS on this network, trying again from time to time", "err", err)
			last = err.Error()
		}
		for same := true; same && ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
			now, _ := lan.Network().InterfaceListenAddresses()
			same = err == nil && sameAddrs(addrs, now)
		}
		a.up.Store(false)
		if err := s.Close(); err != nil {
			a.logger.Debug("closing mDNS", "err", err)
		}
	}
}

// HandlePeerFound takes a peer that was announced. Anybody on the local network
// can announce anything: only addresses on one of our own links are dialled.
func (a *announcer) HandlePeerFound(info peer.AddrInfo) {
	if addrs := onLinks(info.Addrs, ownLinks()); len(addrs) > 0 {
		a.take(record{id: info.ID, addrs: addrs})
	}
}

// onLinks returns those of the addresses announced that are in one of the
// networks that this machine's interfaces are in. An address that this machine
// has too, such as Docker's 172.17.0.1, leads to itself: it is good only for a
// peer that announces no other, as such a peer is on this machine.
func onLinks(announced []ma.Multiaddr, links []netip.Prefix) []ma.Multiaddr {
	var own, others []ma.Multiaddr
	for _, addr := range announced {
		_, ip := scopeOf(addr)
		if !dialable(addr) || !slices.ContainsFunc(links, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			continue
		}
		if slices.ContainsFunc(links, func(p netip.Prefix) bool { return p.Addr() == ip }) {
			own = append(own, addr)
		} else {
			others = append(others, addr)
		}
	}
	if len(others) == 0 {
		others = own
	}
	return others[:min(len(others), maxAddrs)]
}

// ownLinks returns the networks that this machine's interfaces are in, each with
// the address that the machine has there, but for loopback.
func ownLinks() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var links []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			links = append(links, p)
		}
	}
	return links
}

// lanHost is a host as it is announced: at the addresses that it listens on, but
// for loopback and link-local ones. So who listens on one address tells no more
// of the machine, and who listens on all tells all of them, on every link: the
// receiver takes those of its own. Others than the local network may be told to
// dial something else.
type lanHost struct{ host.Host }

func (h lanHost) Network() network.Network { return lanNetwork{h.Host.Network()} }

type lanNetwork struct{ network.Network }

func (n lanNetwork) InterfaceListenAddresses() ([]ma.Multiaddr, error) {
	addrs, err := n.Network.InterfaceListenAddresses()
	return slices.DeleteFunc(slices.Clone(addrs), func(a ma.Multiaddr) bool {
		s, _ := scopeOf(a)
		return s == nowhere || s == loopback
	}), err
}
