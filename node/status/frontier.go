package status

import (
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Bounds of what a crawl asks.
const (
	// maxAsked bounds the questions of one crawl, maxAsks those at once.
	maxAsked = 256
	maxAsks  = 8
	// maxTries is how often one node is asked, when several tell of it by
	// different addresses: a liar must not be able to hide it.
	maxTries = 3
	// maxFailures is how many nodes that don't answer one may tell of until no
	// more of those that it tells of are dialled.
	maxFailures = 16
	// maxFailuresAt is how many nodes may be sought in vain at one IP address
	// until none is dialled there any more.
	maxFailuresAt = 8
)

// frontier decides whom a crawl asks next: bounded in all, and fairly.
//
// Those who answer make a tree: below each are those that it led to. Of the
// branches of a node, the one next in line is that in which the fewest were
// asked. So whoever tells of crowds takes no more than its share, as long as
// others have somebody left to be asked; alone, it may take all there is.
//
// It belongs to one goroutine.
type frontier struct {
	self   *spot
	spots  map[peer.ID]*spot
	failed map[netip.Addr]int // nodes sought there in vain
	// asked counts the questions, dials those that took one.
	asked, dials int
	// grounded says that nobody can be dialled.
	grounded bool
}

// spot is a node that was heard of.
type spot struct {
	id    peer.ID
	state State
	// mute: somebody tells that it answers nobody.
	mute bool
	// busy: it is being asked.
	busy bool
	// led: somebody tells where it is.
	led bool
	// by is who led to it when it was asked last.
	by    *spot
	leads []lead
	// share counts the questions to it and to those below it.
	share int
	// failures counts those that it led to and that did not answer.
	failures int
	tries    int
	tried    []ma.Multiaddr
}

// lead is a way to a node that another tells of.
type lead struct {
	to *spot
	// near: the crawl's own node is connected to it.
	near  bool
	addrs []address
}

type address struct {
	ma.Multiaddr
	ip netip.Addr
}

// question is a lead that is followed.
type question struct {
	lead
	by *spot
}

func newFrontier(self peer.ID) *frontier {
	f := &frontier{spots: make(map[peer.ID]*spot), failed: make(map[netip.Addr]int)}
	f.self = f.spot(self)
	f.self.state = Answered
	return f
}

func (f *frontier) spot(id peer.ID) *spot {
	s := f.spots[id]
	if s == nil {
		s = &spot{id: id}
		f.spots[id] = s
	}
	return s
}

// hear takes in whom a node tells of, by addresses that may be dialled; near
// says that it is the crawl's own, and connected to them.
func (f *frontier) hear(by *spot, peers []Peer, near bool) {
	for _, p := range peers {
		l := lead{to: f.spot(p.ID), near: near}
		for _, a := range p.Addrs {
			if ip, err := manet.ToIP(a); err == nil {
				addr, _ := netip.AddrFromSlice(ip)
				l.addrs = append(l.addrs, address{a, addr.Unmap()})
			}
		}
		l.to.mute = l.to.mute || p.Silent
		if near || len(l.addrs) > 0 {
			l.to.led = true
			by.leads = append(by.leads, l)
		}
	}
}

// next returns whom to ask now, if there is anybody, and notes that it is asked.
// Its addresses are those where it was not sought before.
func (f *frontier) next() (question, bool) {
	if f.asked == maxAsked {
		return question{}, false
	}
	q, ok := f.pick(f.self)
	if !ok {
		return question{}, false
	}
	f.asked++
	if !q.near {
		f.dials++
		q.addrs = slices.DeleteFunc(slices.Clone(q.addrs), func(a address) bool { return !f.fresh(q.to, a) })
		for _, a := range q.addrs {
			q.to.tried = append(q.to.tried, a.Multiaddr)
		}
	}
	q.to.busy, q.to.by = true, q.by
	q.to.tries++
	for s := q.to; s != nil; s = s.by {
		s.share++
	}
	return q, true
}

// pick returns who is next in line below s.
func (f *frontier) pick(s *spot) (best question, ok bool) {
	least := 0
	for _, l := range s.leads {
		if ok && l.to.share >= least {
			continue
		}
		q, found := question{l, s}, f.open(l, s)
		if l.to.state == Answered && l.to.by == s {
			q, found = f.pick(l.to)
		}
		if found {
			best, ok, least = q, true, l.to.share
		}
	}
	return best, ok
}

// open reports whether a lead by somebody may be followed.
func (f *frontier) open(l lead, by *spot) bool {
	switch {
	case l.to.busy || l.to.state == Answered || l.to.state == Silent:
		return false
	case l.near:
		return l.to.tries == 0
	case f.grounded || by.failures >= maxFailures || l.to.tries == maxTries:
		return false
	}
	return slices.ContainsFunc(l.addrs, func(a address) bool { return f.fresh(l.to, a) })
}

// fresh reports whether a node may be sought at an address.
func (f *frontier) fresh(to *spot, a address) bool {
	return f.failed[a.ip] < maxFailuresAt && !slices.ContainsFunc(to.tried, a.Equal)
}

// done takes in what came of a question.
func (f *frontier) done(q question, state State) {
	q.to.busy, q.to.state = false, state
	if state != Unreached || q.near {
		return
	}
	q.by.failures++
	seen := make(map[netip.Addr]bool, len(q.addrs))
	for _, a := range q.addrs {
		if !seen[a.ip] {
			seen[a.ip] = true
			f.failed[a.ip]++
		}
	}
}

// stateOf returns what became of a node.
func (f *frontier) stateOf(id peer.ID) State {
	s := f.spots[id]
	switch {
	case s == nil:
		return Unasked
	case s.state == Unasked && s.mute:
		return Silent
	}
	return s.state
}

// left counts those who could have been asked, and were not.
func (f *frontier) left() int {
	n := 0
	for _, s := range f.spots {
		if s.led && f.stateOf(s.id) == Unasked {
			n++
		}
	}
	return n
}
