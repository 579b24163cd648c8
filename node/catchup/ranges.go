package catchup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Bounds of what a turn may ask, part of the protocol.
const (
	// maxParts bounds the parts of one split. Ours are of fanOut at most.
	maxParts = 64
	// maxList bounds the ids listed of one range: a list is two or three
	// times as long as a split's fingerprints then, but saves a round trip.
	maxList = 64
	// maxQuestions bounds the ranges asked about in one turn: 8,192
	// fingerprints are some 300 KiB on the wire and 1 MiB in memory.
	maxQuestions = 8192
	// maxListed bounds the ids listed in one turn: 256 KiB on the wire, and
	// 1.3 MiB of keys that we remember to make sense of the answer.
	maxListed = 32768
)

// The shape of our splits.
const (
	// fanOut is how many parts a large range is split into: a million
	// entries are three splits from lists of thirty, so one missing entry is
	// found in 3 * 32 * 38 bytes, and a session takes four round trips.
	fanOut = 32
	// partFill is how many entries the parts of a small range get.
	partFill = 16
)

// saltSize and shortSize are lengths in bytes. An id in a list is the first 8
// bytes of SHA-256(salt, id), under a salt that its sender draws anew for every
// session: nobody can make entries whose short ids collide in advance, and what
// collides by chance in one session (2^-52 for two full lists) doesn't in the
// next.
const (
	saltSize  = 8
	shortSize = 8
)

type (
	salt  [saltSize]byte
	short [shortSize]byte
)

func (s short) compare(other short) int { return bytes.Compare(s[:], other[:]) }

// short returns an id as it is listed.
func (s salt) short(id entry.ID) short {
	var b [saltSize + len(entry.ID{})]byte
	copy(b[:], s[:])
	copy(b[saltSize:], id[:])
	sum := sha256.Sum256(b[:])
	return short(sum[:shortSize])
}

// claim is what one side says that it holds of the range [lo, hi).
type claim struct {
	lo, hi      entry.Key
	count       int
	fingerprint ledger.Digest
	loose       bool // it may count entries beyond hi: a hello's does
}

// more returns how many entries more than count it claims.
func (c claim) more(count int) int {
	if c.loose {
		return 0
	}
	return max(0, c.count-count)
}

// digester computes the fingerprint of a range as the ledger does: SHA-256
// over the ids in key order, each as 64 hexadecimal digits and a newline.
type digester struct {
	h    hash.Hash
	n    int
	line [2*len(entry.ID{}) + 1]byte
}

func newDigester() *digester {
	d := &digester{h: sha256.New()}
	d.line[len(d.line)-1] = '\n'
	return d
}

func (d *digester) add(id entry.ID) {
	hex.Encode(d.line[:], id[:])
	d.h.Write(d.line[:])
	d.n++
}

// sum returns count and fingerprint, and starts anew.
func (d *digester) sum() (int, ledger.Digest) {
	n, digest := d.n, ledger.Digest(d.h.Sum(nil))
	d.h.Reset()
	d.n = 0
	return n, digest
}

// between returns the key with the shortest encoding that is after last and
// not after next: the time of next alone, or that and the start of its id.
func between(last, next entry.Key) entry.Key {
	bound := entry.Key{Time: next.Time}
	if next.Time != last.Time {
		return bound
	}
	for i := range next.ID {
		bound.ID[i] = next.ID[i]
		if next.ID[i] != last.ID[i] {
			break
		}
	}
	return bound
}

// itemKind says how an item answers a question.
type itemKind byte

const (
	itemSplit itemKind = 0 // to a claim: claims of parts of the range
	itemList  itemKind = 1 // to a claim: all the ids held of it; none: send all
	itemWant  itemKind = 2 // to a list: a bit for each id that is wanted
)

// item is the answer to one question of the other side's last turn. What is
// not answered is agreed, or left to another session.
type item struct {
	kind     itemKind
	question int // index in the order of asking
	parts    []part
	shorts   []short
	wanted   []byte
}

// part is a claim without its lower bound, which is the upper one of the part
// before it, or of the range. The last part's upper bound is the range's.
type part struct {
	from        entry.Key // ignored in the first part
	count       int
	fingerprint ledger.Digest
}

// appendItem appends an item that follows one about the question last, which
// is -1 for the first in its frame. base is the time of the range's lower bound.
func appendItem(b []byte, it item, last int, base int64) []byte {
	b = binary.AppendUvarint(b, uint64(it.question-last-1)<<2|uint64(it.kind))
	switch it.kind {
	case itemSplit:
		b = binary.AppendUvarint(b, uint64(len(it.parts)))
		for i, p := range it.parts {
			if i > 0 {
				b = appendBound(b, p.from, base)
				base = p.from.Time
			}
			b = binary.AppendUvarint(b, uint64(p.count))
			if p.count > 0 {
				b = append(b, p.fingerprint[:]...)
			}
		}
	case itemList:
		b = binary.AppendUvarint(b, uint64(len(it.shorts)))
		for _, s := range it.shorts {
			b = append(b, s[:]...)
		}
	case itemWant:
		b = binary.AppendUvarint(b, uint64(len(it.wanted)))
		b = append(b, it.wanted...)
	}
	return b
}

// appendBound appends a key as the difference of its time to base and its id
// without trailing zeros.
func appendBound(b []byte, k entry.Key, base int64) []byte {
	n := len(k.ID)
	for n > 0 && k.ID[n-1] == 0 {
		n--
	}
	b = binary.AppendUvarint(b, uint64(k.Time-base))
	b = append(b, byte(n))
	return append(b, k.ID[:n]...)
}

// decodeItem reads one item. It needs to know the question's range, by its
// index, to make sense of bounds, and fails if that is out of order.
func decodeItem(d *decoder, last int, asked []question) item {
	head := d.uvarint(maxQuestions<<2 | 3)
	it := item{kind: itemKind(head & 3), question: last + 1 + int(head>>2)}
	if d.err == nil && it.question >= len(asked) {
		d.fail("an answer to question %d of %d", it.question, len(asked))
	}
	if d.err != nil {
		return item{}
	}
	q := asked[it.question]
	switch it.kind {
	case itemSplit:
		it.parts = decodeParts(d, q.lo, q.hi)
	case itemList:
		n := int(d.uvarint(maxList))
		all := d.take(n * shortSize)
		it.shorts = make([]short, len(all)/shortSize)
		for i := range it.shorts {
			it.shorts[i] = short(all[i*shortSize:])
		}
	case itemWant:
		it.wanted = d.take(int(d.uvarint(maxList / 8)))
	default:
		d.fail("an answer of kind %d", it.kind)
	}
	return it
}

// decodeParts reads a split of [lo, hi): parts that are in order and disjoint.
func decodeParts(d *decoder, lo, hi entry.Key) []part {
	n := int(d.uvarint(maxParts))
	if n == 0 {
		d.fail("a split without parts")
		return nil
	}
	parts := make([]part, 0, min(n, 1+len(d.b)/3)) // 3 bytes a part at least
	last := lo
	for i := range n {
		p := part{from: lo}
		if i > 0 {
			p.from = decodeBound(d, last.Time)
			if p.from.Compare(last) <= 0 || p.from.Compare(hi) >= 0 {
				d.fail("bounds out of order, or outside the range")
			}
			last = p.from
		}
		p.count = int(d.uvarint(maxCount))
		if p.count > 0 {
			copy(p.fingerprint[:], d.take(len(p.fingerprint)))
		} else {
			p.fingerprint = sha256.Sum256(nil)
		}
		if d.err != nil {
			return nil
		}
		parts = append(parts, p)
	}
	return parts
}

func decodeBound(d *decoder, base int64) entry.Key {
	k := entry.Key{Time: base + int64(d.uvarint(maxTime))}
	n := int(d.uvarint(uint64(len(k.ID))))
	copy(k.ID[:], d.take(n))
	return k
}
