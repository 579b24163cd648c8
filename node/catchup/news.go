package catchup

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// tellMany is how many peers are asked when a session has brought something
// that gossip had not: who holds it now may be the only neighbour through whom
// others can get it. Were it left to the timer, news would wait 5 to 10 s at
// each hop: 19 s in a line of five nodes, measured. Eight are all neighbours in
// a small network; in a large one, news spreads through some in two steps.
const tellMany = 8

// news is what catch-up brought and has not been passed on yet.
type news struct {
	any  bool
	from peer.ID // who brought it; "" when several did
}

// add notes that a session with a peer brought something.
func (n *news) add(from peer.ID) {
	if n.any && n.from != from {
		from = ""
	}
	n.any, n.from = true, from
}

// audience draws whom to tell among the present peers.
func (n *news) audience(present []peer.ID) []peer.ID {
	if !n.any {
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(present), func(p peer.ID) bool { return p == n.from })
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	return others[:min(len(others), tellMany)]
}

// tell makes appointments with those to whom news is to be passed on.
func (r *runner) tell(n news, now time.Time) {
	for _, p := range n.audience(r.cfg.Peers()) {
		r.queue.add(p, r.book.ready(p, now))
	}
}

// brought tells Run of what a session with a peer brought, unless the next
// session with that peer brings more at once.
func (s *Syncer) brought(from peer.ID, o outcome) {
	if o.added == 0 || o.left {
		return
	}
	s.mu.Lock()
	s.asks.news.add(from)
	s.mu.Unlock()
	s.wake()
}
