package catchup

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of the sessions that peers begin.
const (
	// maxInbound bounds them at once: each reserves sessionMemory.
	maxInbound = 8
	// crowded is the number of them from which on a peer that has just had
	// one is put off, so that others get theirs.
	crowded = maxInbound / 2
	// restFor is how long "just" is: the shortest interval of our own timer.
	restFor = 5 * time.Second
	// maxRefusing bounds the sessions that are being refused at once; beyond,
	// streams are reset without a word.
	maxRefusing = 32
	// busyFor is how long to come back in when no better time is known.
	busyFor = time.Second
)

// The price of sessions, in keys read: some 0.2 us each. A peer has the use of
// a fifth of a core, all together of four fifths.
const (
	peerRate  = 1_000_000  // a second
	peerBurst = 16_000_000 // a late joiner's sessions, one after another
	allRate   = 4_000_000
	allBurst  = 32_000_000
	// sessionPrice is that of a session besides what it reads, so that ten a
	// second are the most; sentPrice is that of an entry read and sent, and
	// lookPrice that of a look at the ledger, however little it reads.
	sessionPrice = 100_000
	sentPrice    = 16
	lookPrice    = 16
)

// maxBuckets bounds the peers whose use is remembered. One that is forgotten
// starts anew; the bucket of all together remembers.
const maxBuckets = 1024

// bucket is a token bucket, in keys. It may sink below zero, as a session's
// price is known when it has ended; the zero value is full.
type bucket struct {
	spent float64 // below the burst
	at    time.Time
	ended time.Time // the last session, of a peer's bucket
}

// settle pays back, at rate, what the time since has brought.
func (b *bucket) settle(now time.Time, rate float64) {
	if d := now.Sub(b.at); d > 0 {
		b.spent = max(0, b.spent-d.Seconds()*rate)
	}
	b.at = now
}

// wait returns how long it takes until a session can be paid, zero if it can.
func (b *bucket) wait(rate, burst float64) time.Duration {
	if over := b.spent + sessionPrice - burst; over > 0 {
		return time.Duration(over / rate * float64(time.Second))
	}
	return 0
}

// phase is how far our own session with a peer has got.
type phase int

const (
	phaseNone    phase = iota
	phaseCalling       // hello sent, no answer yet
	phaseTalking       // taken up
)

// gate decides who may have a session: one for each peer at a time, either
// way, and of those that peers begin only so many, in turn, at a price.
type gate struct {
	self peer.ID

	mu       sync.Mutex
	inbound  map[peer.ID]struct{} // guarded by mu
	outbound map[peer.ID]phase    // guarded by mu
	buckets  map[peer.ID]*bucket  // guarded by mu
	all      bucket               // guarded by mu
	refusing int                  // guarded by mu
}

func newGate(self peer.ID) *gate {
	return &gate{
		self:     self,
		inbound:  make(map[peer.ID]struct{}),
		outbound: make(map[peer.ID]phase),
		buckets:  make(map[peer.ID]*bucket),
	}
}

// enter asks for a session that a peer begins: zero, and the caller must leave,
// or how long to put the peer off.
func (g *gate) enter(p peer.ID, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.inbound[p]; ok {
		return busyFor
	}
	switch g.outbound[p] {
	case phaseTalking:
		return busyFor
	case phaseCalling:
		// Both have called. Both know whose call is answered: the lower ID's.
		if g.self < p {
			return busyFor
		}
	}
	if len(g.inbound) >= maxInbound {
		return busyFor
	}
	b := g.bucket(p, now)
	if rest := b.ended.Add(restFor).Sub(now); rest > 0 && len(g.inbound) >= crowded {
		return rest
	}
	if wait := max(b.wait(peerRate, peerBurst), g.all.wait(allRate, allBurst)); wait > 0 {
		return wait
	}
	g.inbound[p] = struct{}{}
	return 0
}

// leave ends a session that a peer began, which read so many keys and sent so
// many entries.
func (g *gate) leave(p peer.ID, now time.Time, scanned, sent int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.inbound, p)
	price := float64(sessionPrice + scanned + sent*sentPrice)
	b := g.bucket(p, now)
	b.spent += price
	b.ended = now
	g.all.spent += price
}

// bucket returns the peer's, and brings both up to now. The caller holds mu.
func (g *gate) bucket(p peer.ID, now time.Time) *bucket {
	g.all.settle(now, allRate)
	b, ok := g.buckets[p]
	if !ok {
		if len(g.buckets) >= maxBuckets {
			g.forget()
		}
		b = &bucket{}
		g.buckets[p] = b
	}
	b.settle(now, peerRate)
	return b
}

// forget drops the bucket that was left alone for longest. The caller holds mu.
func (g *gate) forget() {
	var oldest peer.ID
	var at time.Time
	for p, b := range g.buckets {
		if oldest == "" || b.at.Before(at) {
			oldest, at = p, b.at
		}
	}
	delete(g.buckets, oldest)
}

// call asks to begin a session with a peer; if it may, the caller must hang up.
func (g *gate) call(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.inbound[p]; ok || g.outbound[p] != phaseNone {
		return false
	}
	g.outbound[p] = phaseCalling
	return true
}

// met marks that a peer has taken up our call.
func (g *gate) met(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outbound[p] = phaseTalking
}

func (g *gate) hangUp(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.outbound, p)
}

// refuse asks to spend a moment on refusing; if it may, the caller must call
// refused.
func (g *gate) refuse() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refusing >= maxRefusing {
		return false
	}
	g.refusing++
	return true
}

func (g *gate) refused() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusing--
}
