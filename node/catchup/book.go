package catchup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// PeerState is the outcome of the last comparison with a peer.
type PeerState struct {
	PeerID peer.ID
	// ComparedAt is when the last session ended that compared the two
	// ledgers, by this node's clock; zero when none has.
	ComparedAt time.Time
	// Agreed says that the two ledgers were equal then, from the higher floor
	// on: by fingerprint, or because all that differed changed hands. It is
	// not set while this node holds entries that the peer's clock puts so far
	// in the future that it need not have them yet; Skew tells then.
	Agreed bool
	// Missing counts the entries that the peer held and this node still
	// lacked, as far as known; Extra those that the peer still lacked.
	Missing, Extra int
	// Skew is how far the peer's clock is ahead of this node's, zero below a
	// minute.
	Skew time.Duration
	// Err says why the last session failed, or "".
	Err string
}

// skewShown is the skew from which on it is worth showing.
const skewShown = time.Minute

// How long to stay away from a peer: the first time, and at most. Each failure
// in a row doubles it.
const (
	// A lost stream or a silent peer: a fault of the network, which may be
	// over any moment, and convergence waits for it.
	failedFirst, failedMost = time.Second, 5 * time.Second
	// Bytes that no honest peer sends.
	misbehavedFirst, misbehavedMost = time.Minute, time.Hour
	// What the peer brings is not admitted, or what it is sent does not stay.
	futileFirst, futileMost = 10 * time.Second, 10 * time.Minute
	// A peer on the topic that is no p2ping node, or has not told yet.
	unsupportedFirst, unsupportedMost = 5 * time.Second, 10 * time.Minute
	// Our own disk is full, or our ledger fails.
	ownFirst, ownMost = 5 * time.Second, time.Minute
)

// result is how a session ended: a label of metrics.
type result string

const (
	resultEqual       result = "equal"       // nothing differed
	resultExchanged   result = "exchanged"   // all that differed changed hands
	resultPartial     result = "partial"     // some did
	resultBusy        result = "busy"        // put off
	resultFull        result = "full"        // our disk is
	resultFailed      result = "failed"      // the network or the peer's silence
	resultMisbehaved  result = "misbehaved"  // the peer's fault
	resultUnsupported result = "unsupported" // the peer does not speak catch-up
)

// classify tells how a session ended.
func classify(o outcome, err error) result {
	switch {
	case err == nil && o.equal:
		return resultEqual
	case err == nil && !o.left && o.missing == 0 && o.extra == 0 && o.refused == 0:
		return resultExchanged
	case err == nil:
		return resultPartial
	case errors.Is(err, errBusy):
		return resultBusy
	case errors.Is(err, ledger.ErrFull):
		return resultFull
	case errors.Is(err, errProtocol), errors.Is(err, entry.ErrInvalid):
		return resultMisbehaved
	case errors.Is(err, errUnsupported):
		return resultUnsupported
	}
	return resultFailed
}

// maxBook bounds the peers that are remembered.
const maxBook = 1024

// page is what is remembered of a peer.
type page struct {
	state   PeerState
	touched time.Time
	kind    result    // of the last session that counts as a failure
	fails   int       // of that kind in a row
	until   time.Time // no session of ours before
	shunned bool      // until then none of theirs either
	met     time.Time // when the last session of ours began
	streak  int       // sessions of ours in a row, each going on from the last
	verify  bool      // the session of ours under way is to see that all is equal
	sent    int       // in the session before that one
	futile  int       // times in a row that what we sent did not stay
}

// book remembers the peers.
type book struct {
	mu    sync.Mutex
	pages map[peer.ID]*page // guarded by mu
}

func newBook() *book { return &book{pages: make(map[peer.ID]*page)} }

// states returns what is remembered, in the order of peer IDs.
func (b *book) states() []PeerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]PeerState, 0, len(b.pages))
	for _, p := range b.pages {
		if !p.state.ComparedAt.IsZero() || p.state.Err != "" {
			all = append(all, p.state)
		}
	}
	slices.SortFunc(all, func(x, y PeerState) int { return strings.Compare(string(x.PeerID), string(y.PeerID)) })
	return all
}

// page returns the peer's. The caller holds mu.
func (b *book) page(p peer.ID, now time.Time) *page {
	pg, ok := b.pages[p]
	if !ok {
		if len(b.pages) >= maxBook {
			b.forget()
		}
		pg = &page{state: PeerState{PeerID: p}}
		b.pages[p] = pg
	}
	pg.touched = now
	return pg
}

func (b *book) forget() {
	var oldest peer.ID
	for p, pg := range b.pages {
		if oldest == "" || pg.touched.Before(b.pages[oldest].touched) {
			oldest = p
		}
	}
	delete(b.pages, oldest)
}

// shunned reports whether sessions that the peer begins are refused.
func (b *book) shunned(p peer.ID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	pg, ok := b.pages[p]
	return ok && pg.shunned && now.Before(pg.until)
}

// ready returns when a session with the peer may begin that does not go on
// from the last one.
func (b *book) ready(p peer.ID, now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	pg, ok := b.pages[p]
	if !ok {
		return now
	}
	at := now
	if spaced := pg.met.Add(minSpacing); spaced.After(at) {
		at = spaced
	}
	if pg.until.After(at) {
		at = pg.until
	}
	return at
}

// begin notes that a session of ours begins.
func (b *book) begin(p peer.ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.page(p, now).met = now
}

// note enters how a session ended. wall is our clock, for people to read.
func (b *book) note(p peer.ID, now, wall time.Time, o outcome, err error) result {
	r := classify(o, err)
	if r == resultBusy {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.page(p, now).until = now.Add(max(o.retry, busyFor))
		return r
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	pg := b.page(p, now)
	pg.state.Err = describe(r, o, err)
	if o.compared {
		pg.state.ComparedAt = wall
		pg.state.Agreed = (r == resultEqual || r == resultExchanged) && !o.beyond
		pg.state.Missing, pg.state.Extra = o.missing+o.refused, o.extra
	}
	if o.compared || o.skew != 0 {
		pg.state.Skew = 0
		if o.skew.Abs() > skewShown {
			pg.state.Skew = o.skew
		}
	}
	pg.penalise(r, o, now)
	return r
}

// describe says in words what failed, or "".
func describe(r result, o outcome, err error) string {
	switch {
	case r == resultFull:
		return "stopped: the disk is full"
	case r == resultUnsupported:
		return "does not speak catch-up: not a p2ping node"
	case errors.Is(err, context.Canceled):
		return ""
	case err != nil:
		return err.Error()
	case o.refused > 0:
		return fmt.Sprintf("brought %d entries that are not admitted", o.refused)
	}
	return ""
}

// penalise sets how long to stay away.
func (pg *page) penalise(r result, o outcome, now time.Time) {
	var first, most time.Duration
	switch {
	case r == resultMisbehaved:
		first, most = misbehavedFirst, misbehavedMost
	case r == resultUnsupported:
		first, most = unsupportedFirst, unsupportedMost
	case r == resultFull:
		first, most = ownFirst, ownMost
	case r == resultFailed:
		first, most = failedFirst, failedMost
	case o.refused > 0 && o.added == 0:
		first, most = futileFirst, futileMost
	}
	pg.shunned = r == resultMisbehaved
	if first == 0 {
		pg.fails, pg.until = 0, time.Time{}
		return
	}
	if r != pg.kind {
		pg.kind, pg.fails = r, 0
	}
	pg.fails++
	pg.until = now.Add(min(first<<min(pg.fails-1, 12), most))
}

// Going on from one session to the next.
const (
	// maxStreak bounds the sessions in a row that go on at once, and with it
	// what a peer can have us do that feeds us for ever: the timer comes back.
	maxStreak = 256
	// minMoved is what a session must have moved for the next to follow at
	// once: honest ones move thousands before they leave something.
	minMoved = 64
)

// goOn decides, after a session of ours, whether and when the next follows:
// because there is more, or to see by fingerprint that now all is equal.
func (b *book) goOn(p peer.ID, now time.Time, o outcome, r result) (at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pg := b.page(p, now)
	if r == resultBusy {
		return pg.until, pg.streak > 0
	}
	verified := pg.verify
	pg.verify = false
	if r == resultEqual {
		pg.futile = 0
	}
	if verified && pg.sent >= minMoved && o.sent >= pg.sent {
		// What we sent is lacking again: it does not stay.
		pg.futile++
		pg.until = now.Add(min(futileFirst<<min(pg.futile-1, 12), futileMost))
	}
	pg.streak++
	switch {
	case !o.compared || o.moved() == 0 || pg.until.After(now) || pg.streak == maxStreak:
	case o.left && o.moved() >= minMoved:
		return now, true
	case !o.left && !verified:
		pg.verify, pg.sent = true, o.sent
		return now, true
	}
	pg.streak = 0
	return now, false
}
