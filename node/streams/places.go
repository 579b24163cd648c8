package streams

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Places bound whom a service serves at one time. Strangers, who are no members
// of the topic, get half of the places at most: they may take their time, and can
// be any number of peers.
type Places struct {
	all, each int

	mu      sync.Mutex
	taken   int             // guarded by mu
	strange int             // guarded by mu; of taken, those of strangers
	by      map[peer.ID]int // guarded by mu; of taken, those of each peer
}

// NewPlaces returns so many places in all, and so many for each peer at most.
func NewPlaces(all, each int) *Places {
	return &Places{all: all, each: each, by: make(map[peer.ID]int)}
}

// Take gives a peer a place, if there is one for it. The caller must then Leave
// it, with the same arguments.
func (p *Places) Take(id peer.ID, member bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.all || p.by[id] >= p.each || !member && p.strange >= p.all/2 {
		return false
	}
	p.taken++
	p.by[id]++
	if !member {
		p.strange++
	}
	return true
}

// Leave gives a place back.
func (p *Places) Leave(id peer.ID, member bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[id]--; p.by[id] == 0 {
		delete(p.by, id)
	}
	if !member {
		p.strange--
	}
}

// Taken returns how many places are taken.
func (p *Places) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}
