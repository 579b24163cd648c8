package catchup

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// When peers are asked.
const (
	// minInterval and maxInterval bound the time between two rounds of asking,
	// which is drawn anew each time, so that nodes don't ask in step.
	minInterval = 5 * time.Second
	maxInterval = 10 * time.Second
	// quietInterval bounds it when nothing changes for long.
	quietInterval = time.Minute
	// quietAfter is the number of quiet rounds after which the interval
	// doubles with each.
	quietAfter = 6
	// askMany peers are asked in a round, or just one when nothing changes.
	// What gossip lost on the way to one node of ten is then found by its
	// neighbours in the first round, and not only by itself.
	askMany = 3
	// minSpacing is the time between two sessions with a peer, but for those
	// that go on where the last one ended.
	minSpacing = time.Second
)

// rhythm decides when the next round of asking is, and how many are asked.
type rhythm struct {
	quiet int    // rounds since something changed
	last  uint64 // the ledger's newest cursor at the last round
}

// disturb notes that something changed, was lost, or differs.
func (r *rhythm) disturb() { r.quiet = 0 }

// round notes a round of asking, with the ledger's newest cursor, and returns
// how many peers to ask.
func (r *rhythm) round(last uint64) int {
	if last != r.last {
		r.last, r.quiet = last, 0
	}
	r.quiet++
	if r.quiet > quietAfter {
		return 1
	}
	return askMany
}

// interval returns how long to wait for the next round; chance is in [0, 1).
func (r *rhythm) interval(chance float64) time.Duration {
	d := minInterval + time.Duration(chance*float64(maxInterval-minInterval))
	for i := quietAfter; i < r.quiet && d < quietInterval; i++ {
		d *= 2
	}
	return min(d, quietInterval)
}

// relaxed reports whether intervals are longer than when something changes.
func (r *rhythm) relaxed() bool { return r.quiet > quietAfter }

// deck is the peers that were not asked yet since all were: so that everyone
// is asked, in random order.
type deck struct{ peers []peer.ID }

// draw takes up to n of the present peers.
func (d *deck) draw(n int, present []peer.ID) []peer.ID {
	var drawn []peer.ID
	for range 2 {
		for len(d.peers) > 0 && len(drawn) < n {
			p := d.peers[0]
			d.peers = d.peers[1:]
			if slices.Contains(present, p) && !slices.Contains(drawn, p) {
				drawn = append(drawn, p)
			}
		}
		if len(drawn) == min(n, len(present)) {
			break
		}
		d.peers = slices.Clone(present)
		rand.Shuffle(len(d.peers), func(i, j int) { d.peers[i], d.peers[j] = d.peers[j], d.peers[i] })
	}
	return drawn
}

// maxQueue bounds the peers that wait for a session of ours. The timer finds
// those that find no place.
const maxQueue = 256

// queue holds the peers that we are about to begin a session with, in order.
type queue struct{ waiting []appointment }

type appointment struct {
	peer peer.ID
	at   time.Time // not before
}

// add makes an appointment, or moves the peer's to an earlier time.
func (q *queue) add(p peer.ID, at time.Time) {
	for i, a := range q.waiting {
		if a.peer == p {
			if at.Before(a.at) {
				q.waiting[i].at = at
			}
			return
		}
	}
	if len(q.waiting) < maxQueue {
		q.waiting = append(q.waiting, appointment{p, at})
	}
}

// next takes the first peer whose time has come.
func (q *queue) next(now time.Time) (peer.ID, bool) {
	for i, a := range q.waiting {
		if !a.at.After(now) {
			q.waiting = slices.Delete(q.waiting, i, i+1)
			return a.peer, true
		}
	}
	return "", false
}

// when returns when the next appointment is.
func (q *queue) when() (at time.Time, ok bool) {
	for _, a := range q.waiting {
		if !ok || a.at.Before(at) {
			at, ok = a.at, true
		}
	}
	return at, ok
}
