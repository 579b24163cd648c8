package ledger

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"hash"

	"p2ping/node/entry"
)

// Digest is the fingerprint of a set of entries: the SHA-256 over their ids in
// the order of their keys, each as 64 lower-case hexadecimal digits and a
// newline. Anyone can recompute it from a list of ids, with sha256sum. As every
// id has the same length there, it commits to their number as well.
type Digest [sha256.Size]byte

// String returns the digest as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Digest returns the digest of all entries from the floor on, with the state
// at that moment.
func (l *Ledger) Digest() (d Digest, s State, err error) {
	err = l.fingerprint(entry.Key{}, entry.LastKey(), func(digest Digest, _ int, t totals) {
		l.mu.Lock()
		defer l.mu.Unlock()
		d, s = digest, l.stateOf(t)
	})
	return d, s, err
}

// Fingerprint returns the digest and the number of the entries in [lo, hi).
// Where lo is the floor, or below, that costs a look at up to 4,096 keys, once
// it was done; elsewhere, at all keys of the range.
func (l *Ledger) Fingerprint(lo, hi entry.Key) (d Digest, n int, err error) {
	err = l.fingerprint(lo, hi, func(digest Digest, count int, _ totals) { d, n = digest, count })
	return d, n, err
}

// fingerprint computes a range's digest and number of entries in one snapshot,
// and hands them on with that snapshot's totals.
func (l *Ledger) fingerprint(lo, hi entry.Key, result func(Digest, int, totals)) error {
	// Only the writer moves the floor, and upwards: what begins at or below it
	// now does so in the snapshot. The computation begins before that.
	var work *prefixWork
	if lo.Compare(entry.Key{Time: l.floor.Load()}) <= 0 {
		work = l.prefixes.begin()
		defer work.end()
	}
	looked := 0 // at so many rows
	defer func() { l.touch(looked * rowOnDisk) }()
	return l.view(func(s snapshot) error {
		h, n := newIDHash(), 0
		cached := work != nil && !s.ahead
		if cached {
			h, n, lo = work.resume(hi)
		}
		from := n
		s.scan(lo, hi, func(key entry.Key, _ row) bool {
			h.add(key.ID)
			if n++; cached {
				work.reached(key, n, h)
			}
			return true
		})
		looked = n - from
		result(h.sum(), n, *s.totals)
		return nil
	})
}

// idHash hashes ids as lines of text.
type idHash struct {
	hash hash.Hash
	line [2*len(entry.ID{}) + 1]byte
}

func newIDHash() *idHash {
	h := &idHash{hash: sha256.New()}
	h.line[len(h.line)-1] = '\n'
	return h
}

func (h *idHash) add(id entry.ID) {
	hex.Encode(h.line[:], id[:])
	h.hash.Write(h.line[:])
}

func (h *idHash) sum() (d Digest) {
	h.hash.Sum(d[:0])
	return d
}

// state returns what SHA-256 has come to, to be resumed from.
func (h *idHash) state() ([]byte, error) {
	return h.hash.(encoding.BinaryMarshaler).MarshalBinary()
}

func (h *idHash) resume(state []byte) error {
	return h.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
}
