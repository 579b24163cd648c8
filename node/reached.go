package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// From where a peer can dial a node, nearest first.
const (
	FromMachine  = "this machine"
	FromNetwork  = "a private network"
	FromInternet = "the internet"
)

// Reach is the proof that a node can be reached from somewhere: a peer there
// has dialled it.
type Reach struct {
	From string // FromMachine, FromNetwork or FromInternet
	// At is when the last peer did, in UTC.
	At time.Time
}

// reached remembers from where peers have dialled the node since it runs. That
// nobody has is no proof of anything: there may be nobody who would.
type reached struct {
	host host.Host
	now  func() time.Time

	mu   sync.Mutex
	last []Reach // one for each place, nearest first
}

func newReached(h host.Host, now func() time.Time) *reached {
	return &reached{host: h, now: now, last: []Reach{{From: FromMachine}, {From: FromNetwork}, {From: FromInternet}}}
}

// run watches connections until ctx ends.
func (r *reached) run(ctx context.Context) {
	events := &network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) { r.connected(c) }}
	r.host.Network().Notify(events)
	defer r.host.Network().StopNotify(events)
	for _, c := range r.host.Network().Conns() {
		r.connected(c)
	}
	<-ctx.Done()
}

func (r *reached) connected(c network.Conn) {
	if c.Stat().Direction != network.DirInbound {
		return
	}
	from := fromWhere(c.RemoteMultiaddr())
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.last, func(l Reach) bool { return l.From == from }); i >= 0 {
		r.last[i].At = r.now().UTC()
	}
}

// list returns the places from where anybody has dialled, nearest first.
func (r *reached) list() []Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.last), func(l Reach) bool { return l.At.IsZero() })
}

// fromWhere says where a peer is whose address a connection has, "" when that
// says nothing: behind a relay, it is the relay's.
func fromWhere(remote ma.Multiaddr) string {
	if _, err := remote.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return ""
	}
	switch {
	case manet.IsIPLoopback(remote):
		return FromMachine
	case manet.IsPrivateAddr(remote), manet.IsIP6LinkLocal(remote):
		return FromNetwork
	case manet.IsPublicAddr(remote):
		return FromInternet
	}
	return ""
}
