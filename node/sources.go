package node

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
)

// maxSources bounds how many entries' ways are remembered: a page that looks on
// live asks within a second.
const maxSources = 1024

// sources remembers which neighbour brought the latest entries. It is for
// showing only: nothing is decided by it, and it dies with the process.
type sources struct {
	mu     sync.Mutex
	latest []entry.Key // a ring, once it is full
	next   int         // where in latest the next one goes
	from   map[entry.Key]peer.ID
}

func (s *sources) add(key entry.Key, from peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from == nil {
		s.from = make(map[entry.Key]peer.ID)
	}
	if len(s.latest) < maxSources {
		s.latest = append(s.latest, key)
	} else {
		delete(s.from, s.latest[s.next])
		s.latest[s.next] = key
		s.next = (s.next + 1) % maxSources
	}
	s.from[key] = from
}

func (s *sources) get(key entry.Key) peer.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from[key]
}

// CameFrom returns the neighbour that brought an entry by gossip, or "" when
// that is not remembered: it is for about a thousand entries, until the node
// stops.
func (n *Node) CameFrom(key entry.Key) peer.ID { return n.sources.get(key) }
