package ledger

import (
	"sort"
	"sync"

	"p2ping/node/entry"
)

// prefixStep is the number of entries between two states that are kept: at a
// million entries 244 states of some 170 bytes, and at most 0.5 ms of hashing
// from one to the next.
const prefixStep = 4096

// prefix is the digest of the first count entries from the floor on.
type prefix struct {
	last  entry.Key // the last of them
	count int
	state []byte // of SHA-256
}

// prefixes caches digests of the ledger's beginning, so that the digest of all
// is not computed from the start each time: most entries come at the end.
//
// A prefix is right in a snapshot when the keys up to its last one are there
// what they were when it was computed. So the writer invalidates before it
// commits: what is left is right before and after that commit. And what a
// computation found is kept only as far as no writer has touched since the
// computation began, or was about to when it began.
type prefixes struct {
	// computing is held by the one computation that may be under way.
	computing sync.Mutex

	mu      sync.Mutex
	kept    []prefix   // guarded by mu; in order
	touched entry.Key  // guarded by mu; the lowest key written to since begin
	writing *entry.Key // guarded by mu; the lowest that is about to be committed
}

// invalidate forgets the prefixes that a change at key, or above, makes wrong.
// The writer calls it before it commits, and settle when that is done.
func (p *prefixes) invalidate(key entry.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := sort.Search(len(p.kept), func(i int) bool { return p.kept[i].last.Compare(key) >= 0 })
	clear(p.kept[keep:])
	p.kept = p.kept[:keep]
	p.touched = lower(p.touched, key)
	p.writing = &key
}

func (p *prefixes) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = nil
}

// prefixWork is a computation that uses the cache and adds to it.
type prefixWork struct{ *prefixes }

// begin starts a computation, once the one before has ended. It must be called
// before the snapshot is taken.
func (p *prefixes) begin() *prefixWork {
	p.computing.Lock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touched = entry.LastKey()
	if p.writing != nil {
		p.touched = *p.writing
	}
	return &prefixWork{p}
}

func (w *prefixWork) end() { w.computing.Unlock() }

// resume returns the hash of the longest prefix below hi, its number of
// entries, and the key that follows it.
func (w *prefixWork) resume(hi entry.Key) (*idHash, int, entry.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := newIDHash()
	n := sort.Search(len(w.kept), func(i int) bool { return w.kept[i].last.Compare(hi) >= 0 })
	if n == 0 {
		return h, 0, entry.Key{}
	}
	best := w.kept[n-1]
	if err := h.resume(best.state); err != nil {
		return newIDHash(), 0, entry.Key{}
	}
	return h, best.count, after(best.last)
}

// reached notes that h has hashed the first count entries, up to key.
func (w *prefixWork) reached(key entry.Key, count int, h *idHash) {
	if count%prefixStep != 0 {
		return
	}
	state, err := h.state()
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if key.Compare(w.touched) < 0 && count == prefixStep*(len(w.kept)+1) {
		w.kept = append(w.kept, prefix{last: key, count: count, state: state})
	}
}
