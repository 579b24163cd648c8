package catchup

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// bulk keeps several peers from bringing a late joiner the same thousands of
// entries at once.
type bulk struct {
	mu    sync.Mutex
	peer  peer.ID   // guarded by mu; who brings many
	since time.Time // guarded by mu
	last  time.Time // guarded by mu; when it last brought something new
}

const (
	// bulkEntries is from how many entries on a peer brings many: it takes
	// less than stagger to check them.
	bulkEntries = 1024
	// bulkIdle and bulkFor bound how long a peer that brings many keeps others
	// from doing so: while it brings something, and not for ever.
	bulkIdle = 2 * time.Second
	bulkFor  = 30 * time.Second
)

// open reports whether a peer may bring many: no other does.
func (b *bulk) open(p peer.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isOpen(p, time.Now())
}

func (b *bulk) isOpen(p peer.ID, now time.Time) bool {
	return b.peer == p || now.Sub(b.last) > bulkIdle || now.Sub(b.since) > bulkFor
}

// offer reports whether a peer with so many more entries than ours may bring
// them.
func (b *bulk) offer(p peer.ID, more int) bool {
	if more < bulkEntries {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.isOpen(p, now) {
		return false
	}
	b.brings(p, now)
	return true
}

// brought notes that a peer that brings many has brought something new.
func (b *bulk) brought(p peer.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.brings(p, time.Now())
}

// brings is called with mu held.
func (b *bulk) brings(p peer.ID, now time.Time) {
	if b.peer != p || now.Sub(b.last) > bulkIdle {
		b.peer, b.since = p, now
	}
	b.last = now
}
