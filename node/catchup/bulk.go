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
	// bulkEntries is from how many more than ours on a peer's are many.
	bulkEntries = 4096
	// bulkIdle and bulkFor bound how long a peer that brings many keeps others
	// from doing so: while it brings something, and not for ever.
	bulkIdle = 2 * time.Second
	bulkFor  = 30 * time.Second
)

// free reports whether a peer with so many more entries than ours may bring
// them.
func (b *bulk) free(more int) bool {
	if more < bulkEntries {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	return now.Sub(b.last) > bulkIdle || now.Sub(b.since) > bulkFor
}

// progress returns what a session calls with the number of entries that it has
// brought, whenever some were new.
func (b *bulk) progress(p peer.ID) func(added int) {
	return func(added int) {
		if added < bulkEntries {
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		now := time.Now()
		if b.peer != p || now.Sub(b.last) > bulkIdle {
			b.peer, b.since = p, now
		}
		b.last = now
	}
}
