package discovery

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Bounds of what is known of peers that are not connected.
const (
	// maxTold bounds the peers that were told of and never met, by members and on
	// the local network each: four answers. Nobody there can keep members' out.
	maxTold = 64
	// toldFor is how long such a peer, or the memory of its failures, stays.
	toldFor = 10 * time.Minute
	// maxTries is how often it is dialled in that time.
	maxTries = 2
	// maxRemembered and rememberFor bound the peers that were met.
	maxRemembered = 200
	rememberFor   = 30 * 24 * time.Hour
	// lostFor is how long a peer that went away is looked for though there are
	// enough others: it may be the way to the other half of the network.
	lostFor = 24 * time.Hour
)

// Source is how a peer was found.
type Source uint8

// The sources.
const (
	Exchange   Source = iota + 1 // a member told of it
	Remembered                   // it was met before, and kept on disk
	MDNS                         // it announced itself on the local network
)

// String returns discovery, remembered or mdns.
func (s Source) String() string {
	switch s {
	case Exchange:
		return "discovery"
	case Remembered:
		return "remembered"
	case MDNS:
		return "mdns"
	}
	return ""
}

// contact is what is known of a peer.
type contact struct {
	id     peer.ID
	addrs  []ma.Multiaddr
	source Source
	told   time.Time // when it was last told of
	// seen is when it was last connected and on the topic; zero: never.
	seen time.Time
	// filed is the same by what the file said. It is later than seen where the
	// clock is, or was, wrong.
	filed    time.Time
	failures int       // dials in a row
	next     time.Time // no dial before
	// lost: it went away, and nobody has told of it since.
	lost bool
	busy bool // being dialled
}

// absent returns for how long the peer has not been seen.
func (c *contact) absent(now time.Time) time.Duration {
	if c.seen.IsZero() {
		return now.Sub(c.told)
	}
	return now.Sub(c.seen)
}

// book holds contacts. It belongs to one goroutine at a time.
type book struct {
	self     peer.ID
	contacts map[peer.ID]*contact
	rng      *rand.Rand
}

func newBook(self peer.ID, rng *rand.Rand) *book {
	return &book{self: self, contacts: make(map[peer.ID]*contact), rng: rng}
}

// tell enters what somebody told of a peer, and reports whether that was new.
func (b *book) tell(r record, source Source, now time.Time) bool {
	if r.id == b.self || len(r.addrs) == 0 || !isEd25519(r.id) {
		return false
	}
	c := b.contacts[r.id]
	switch {
	case c == nil:
		if !b.room(source, now) {
			return false
		}
		b.contacts[r.id] = &contact{id: r.id, addrs: r.addrs, source: source, told: now}
		return true
	case c.seen.IsZero():
		// Telling again does not wipe out failures, or two who tell could have
		// us dial for ever. Nor does it prolong their memory.
		if c.failures == 0 {
			c.addrs, c.told = r.addrs, now
		}
		return false
	}
	// It was met: what it said itself, or where it answered, comes first. But
	// that somebody is connected to it means that it is not in another half.
	c.lost = c.lost && source != Exchange
	if !sameAddrs(c.addrs, r.addrs) {
		c.addrs = mergeAddrs(c.addrs, r.addrs)
		if c.failures > 0 {
			c.next = earlier(c.next, now.Add(lateRetry))
		}
	}
	return false
}

// room makes room for one more peer that was never met, if it can.
func (b *book) room(source Source, now time.Time) bool {
	n := 0
	var oldest *contact
	for _, c := range b.contacts {
		if !c.seen.IsZero() || c.source != source {
			continue
		}
		n++
		if !c.busy && now.Sub(c.told) > time.Minute && (oldest == nil || c.told.Before(oldest.told)) {
			oldest = c
		}
	}
	if n < maxTold {
		return true
	}
	if oldest == nil {
		return false
	}
	delete(b.contacts, oldest.id)
	return true
}

// meet notes that a peer is connected and on the topic. addrs are where to
// reach it again; a peer without any can't be remembered.
func (b *book) meet(id peer.ID, addrs []ma.Multiaddr, now time.Time) {
	c := b.contacts[id]
	if len(addrs) == 0 {
		if c != nil {
			c.seen, c.failures, c.lost = now, 0, false
		}
		return
	}
	if c == nil {
		c = &contact{id: id}
		b.contacts[id] = c
	}
	c.addrs, c.source = addrs, Remembered
	c.seen, c.failures, c.lost, c.next = now, 0, false, time.Time{}
	b.shrink()
}

// shrink forgets who was not seen for longest, beyond maxRemembered.
func (b *book) shrink() {
	n := 0
	var oldest *contact
	for _, c := range b.contacts {
		if c.seen.IsZero() {
			continue
		}
		n++
		if oldest == nil || c.seen.Before(oldest.seen) {
			oldest = c
		}
	}
	if n > maxRemembered {
		delete(b.contacts, oldest.id)
	}
}

// leave notes that a peer went away, and looks for it from soon on.
func (b *book) leave(id peer.ID, now time.Time) {
	if c := b.contacts[id]; c != nil && !c.seen.IsZero() {
		c.seen, c.lost = now, true
		c.next = now.Add(retryAfter(0, 0, b.rng.Float64()))
	}
}

// fail notes that a dial failed.
func (b *book) fail(id peer.ID, now time.Time) {
	c := b.contacts[id]
	if c == nil {
		return
	}
	c.busy = false
	c.failures++
	c.next = now.Add(retryAfter(c.failures, c.absent(now), b.rng.Float64()))
}

// forget removes a peer: another one answers at its address.
func (b *book) forget(id peer.ID) { delete(b.contacts, id) }

// age forgets what is too old.
func (b *book) age(now time.Time) {
	for id, c := range b.contacts {
		old := c.absent(now) > rememberFor
		if c.seen.IsZero() {
			old = c.absent(now) > toldFor
		}
		if old && !c.busy {
			delete(b.contacts, id)
		}
	}
}

// pick draws one of the contacts that may be dialled now and that want accepts:
// first of those who never failed to answer and were told of, as somebody is
// connected to them, then of those remembered, then of those who failed. Chance
// makes links across the network, which keep it one.
func (b *book) pick(now time.Time, want func(*contact) bool) *contact {
	best, count := 4, 0
	var picked *contact
	for _, c := range b.contacts {
		if c.busy || c.next.After(now) || c.seen.IsZero() && c.failures >= maxTries || !want(c) {
			continue
		}
		rank := 2
		switch {
		case c.failures > 0:
			rank = 3
		case c.seen.IsZero():
			rank = 1
		}
		if rank > best {
			continue
		}
		if rank < best {
			best, count = rank, 0
		}
		// Each of those that rank the same is picked with the same chance.
		if count++; b.rng.IntN(count) == 0 {
			picked = c
		}
	}
	return picked
}

// wanted reports whether a contact is looked for though there are enough peers.
func (c *contact) wanted(now time.Time) bool {
	return c.lost && c.absent(now) < lostFor
}

// Times between two dials of a peer, which double from firstRetry up to a cap.
const (
	firstRetry = 2 * time.Second
	// recentRetry keeps a promise: who comes back is connected within 15 s, and
	// ledgers are equal 10 s after a partition heals.
	recentRetry = 8 * time.Second
	recentFor   = 10 * time.Minute
	lateRetry   = time.Minute
	lateFor     = 6 * time.Hour
	oldRetry    = 20 * time.Minute
)

// retryAfter returns how long to wait after the n-th failure in a row of a peer
// that was last seen so long ago; chance is from [0, 1). Half of it is jitter.
func retryAfter(n int, absent time.Duration, chance float64) time.Duration {
	limit := oldRetry
	switch {
	case absent < recentFor:
		limit = recentRetry
	case absent < lateFor:
		limit = lateRetry
	}
	d := min(limit, firstRetry<<min(n, 10))
	return d/2 + time.Duration(chance*float64(d/2))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func sameAddrs(a, b []ma.Multiaddr) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x ma.Multiaddr) bool { return !slices.ContainsFunc(b, x.Equal) })
}

// mergeAddrs returns a and what b has beyond, at most maxAddrs; the half that b
// has a right to is kept free for it.
func mergeAddrs(a, b []ma.Multiaddr) []ma.Multiaddr {
	merged := slices.Clone(a[:min(len(a), maxAddrs/2)])
	for _, x := range slices.Concat(b, a[len(merged):]) {
		if len(merged) < maxAddrs && !slices.ContainsFunc(merged, x.Equal) {
			merged = append(merged, x)
		}
	}
	return merged
}
