package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"go.etcd.io/bbolt"

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
func (l *Ledger) Digest() (Digest, State, error) {
	var d Digest
	var t totals
	err := l.view(func(tx *bbolt.Tx) error {
		var err error
		if t, err = loadTotals(tx); err != nil {
			return err
		}
		d, _, err = l.fingerprint(tx, floorKey(t.floor), entry.LastKey())
		return err
	})
	if err != nil {
		return Digest{}, State{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return d, l.stateOf(t), nil
}

// Fingerprint returns the digest and the number of the entries in [lo, hi).
func (l *Ledger) Fingerprint(lo, hi entry.Key) (d Digest, n int, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		d, n, err = l.fingerprint(tx, lo, hi)
		return err
	})
	return d, n, err
}

func (l *Ledger) fingerprint(tx *bbolt.Tx, lo, hi entry.Key) (Digest, int, error) {
	h := newIDHash()
	n := 0
	err := l.scan(tx, lo, hi, false, func(key entry.Key, _ row) bool {
		h.add(key.ID)
		n++
		return true
	})
	l.touch(n * rowOnDisk)
	return h.sum(), n, err
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

// prefixes is a cache of digests.
type prefixes struct{}

func (p *prefixes) invalidate(entry.Key) {}
func (p *prefixes) settle()              {}
