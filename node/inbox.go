package node

import (
	"sync"

	"p2ping/node/entry"
)

// maxInboxBytes bounds the entries that were received and wait for the disk.
// GossipSub delivers in bursts, and a commit takes about a millisecond, so
// this is seconds of the fastest flow that was measured; a peer that sends
// faster than the disk takes it can't make the node hold more.
const maxInboxBytes = 64 << 20

// inbox stands between the validator, which must never block, and the ledger,
// which waits for the disk. Unlike a pubsub subscription it is bounded by
// bytes, not by messages of unknown size.
type inbox struct {
	wake chan struct{} // holds a token while entries may be non-empty

	mu      sync.Mutex
	entries []*entry.Entry
	bytes   int
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put adds e and reports false when there is no room for it.
func (b *inbox) put(e *entry.Entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+len(e.Raw) > maxInboxBytes {
		return false
	}
	b.entries = append(b.entries, e)
	b.bytes += len(e.Raw)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// take removes all that waits.
func (b *inbox) take() []*entry.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.entries
	b.entries, b.bytes = nil, 0
	return taken
}
