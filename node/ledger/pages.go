package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
)

// What bbolt writes, version 2 of its format. Numbers have the byte order of
// the machine.
//
//	page     id (8) flags (2) count (2) overflow (4), then its elements
//	branch   position (4) key size (4) page (8), for each child
//	leaf     flags (4) position (4) key size (4) value size (4), for each pair
//	bucket   root page, or 0 (8) sequence (8), then a page, if there is no root
//	meta     magic (4) version (4) page size (4) flags (4) root (8) sequence (8)
//	         free list (8) pages (8) transaction (8) checksum (8)
//
// A position counts from its element's first byte.
const (
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16
	metaSize     = 64

	branchPage   = 0x01
	leafPage     = 0x02
	freeListPage = 0x10
	bucketFlag   = 0x01

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	noFreeList  = 1<<64 - 1
)

// meta is what a meta page says.
type meta struct {
	pageSize              int64
	root, freeList, pages uint64
	transaction           uint64
}

// readMeta finds the meta page that bbolt would go by: the newer one that is
// intact. That one is not is reported, and survived.
func readMeta(r io.ReaderAt, size int64, logger *slog.Logger) (meta, error) {
	first, err := metaAt(r, 0)
	if err != nil {
		// bbolt looks for the second at every page size there may be.
		for pageSize := int64(1024); pageSize <= 1024<<14 && pageSize < size-1024; pageSize *= 2 {
			if second, err2 := metaAt(r, pageSize); err2 == nil && second.pageSize == pageSize {
				logger.Warn("the ledger's first meta page is damaged; going by the second", "error", err)
				return second, nil
			}
		}
		return meta{}, err
	}
	second, err := metaAt(r, first.pageSize)
	switch {
	case err != nil:
		logger.Warn("the ledger's second meta page is damaged; going by the first", "error", err)
		return first, nil
	case second.pageSize != first.pageSize:
		return meta{}, fmt.Errorf("%w: its meta pages differ in the size of a page", ErrDamaged)
	case second.transaction > first.transaction:
		return second, nil
	}
	return first, nil
}

// metaAt reads and verifies the meta page at an offset.
func metaAt(r io.ReaderAt, offset int64) (meta, error) {
	var page [pageHeader + metaSize]byte
	if _, err := r.ReadAt(page[:], offset); err != nil {
		if errors.Is(err, io.EOF) {
			return meta{}, fmt.Errorf("%w: the file is too short", ErrDamaged)
		}
		return meta{}, fmt.Errorf("reading a meta page: %w", err)
	}
	b := page[pageHeader:]
	u32 := func(i int) uint32 { return binary.NativeEndian.Uint32(b[i:]) }
	u64 := func(i int) uint64 { return binary.NativeEndian.Uint64(b[i:]) }
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	switch {
	case u32(0) != metaMagic:
		return meta{}, fmt.Errorf("%w: it does not begin as a bbolt file does", ErrDamaged)
	case u32(4) != metaVersion:
		return meta{}, fmt.Errorf("%w: it is a bbolt file of version %d", ErrDamaged, u32(4))
	case u64(metaSize-8) != sum.Sum64():
		return meta{}, fmt.Errorf("%w: a meta page does not match its checksum", ErrDamaged)
	}
	m := meta{
		pageSize:    int64(u32(8)),
		root:        u64(16),
		freeList:    u64(32),
		pages:       u64(40),
		transaction: u64(48),
	}
	if m.pageSize < 1024 || m.pageSize > 16<<20 || m.pageSize&(m.pageSize-1) != 0 || m.pages < 2 || m.pages > 1<<40 {
		return meta{}, fmt.Errorf("%w: a meta page makes no sense", ErrDamaged)
	}
	return m, nil
}

// rawPage is a page as it was read.
type rawPage struct {
	id       uint64
	flags    uint16
	count    uint16
	overflow uint32
	bytes    []byte // all of it, header and overflow included
}

func parsePage(b []byte) (rawPage, error) {
	if len(b) < pageHeader {
		return rawPage{}, fmt.Errorf("%w: a page of %d bytes", ErrDamaged, len(b))
	}
	return rawPage{
		id:       binary.NativeEndian.Uint64(b),
		flags:    binary.NativeEndian.Uint16(b[8:]),
		count:    binary.NativeEndian.Uint16(b[10:]),
		overflow: binary.NativeEndian.Uint32(b[12:]),
		bytes:    b,
	}, nil
}

// element is a pair of a leaf. Key and value alias the page.
type element struct {
	bucket     bool
	key, value []byte
	at         int64 // where value begins in the page
}

// checkLeaf checks that a leaf's pairs are within it, and that their keys rise,
// within bounds.
func (p rawPage) checkLeaf(within keyRange) error {
	var last []byte
	for i := range int(p.count) {
		e, err := p.leafElement(i)
		if err != nil {
			return err
		}
		if !within.has(e.key) || i > 0 && bytes.Compare(last, e.key) >= 0 {
			return fmt.Errorf("%w: page %d is out of order", ErrDamaged, p.id)
		}
		last = e.key
	}
	return nil
}

// leafElement returns the pair at an index.
func (p rawPage) leafElement(i int) (element, error) {
	start := pageHeader + i*elementSize
	if start+elementSize > len(p.bytes) {
		return element{}, fmt.Errorf("%w: page %d has too many elements", ErrDamaged, p.id)
	}
	u32 := func(at int) uint64 { return uint64(binary.NativeEndian.Uint32(p.bytes[start+at:])) }
	flags, key := u32(0), uint64(start)+u32(4)
	value := key + u32(8)
	end := value + u32(12)
	if flags > bucketFlag || value == key || end > uint64(len(p.bytes)) {
		return element{}, fmt.Errorf("%w: element %d of page %d is out of bounds", ErrDamaged, i, p.id)
	}
	return element{
		bucket: flags == bucketFlag,
		key:    p.bytes[key:value:value],
		value:  p.bytes[value:end:end],
		at:     int64(value),
	}, nil
}

// keyRange is the keys from lo to below hi; no hi is no end.
type keyRange struct{ lo, hi []byte }

func (r keyRange) has(key []byte) bool {
	return bytes.Compare(r.lo, key) <= 0 && (r.hi == nil || bytes.Compare(key, r.hi) < 0)
}

// child is a page that a branch has for a range of keys.
type child struct {
	id   uint64
	keys keyRange
}

// branchChildren returns a branch's children, whose keys must rise, within
// bounds. They alias the page.
func (p rawPage) branchChildren(within keyRange) ([]child, error) {
	if p.flags != branchPage {
		return nil, fmt.Errorf("%w: page %d is of type %#x, not a branch", ErrDamaged, p.id, p.flags)
	}
	if p.count == 0 || pageHeader+int(p.count)*elementSize > len(p.bytes) {
		return nil, fmt.Errorf("%w: page %d has %d elements", ErrDamaged, p.id, p.count)
	}
	children := make([]child, p.count)
	for i := range children {
		key := p.branchKey(i)
		if key == nil {
			return nil, fmt.Errorf("%w: element %d of page %d is out of bounds", ErrDamaged, i, p.id)
		}
		if !within.has(key) || i > 0 && bytes.Compare(children[i-1].keys.lo, key) >= 0 {
			return nil, fmt.Errorf("%w: page %d is out of order", ErrDamaged, p.id)
		}
		id := binary.NativeEndian.Uint64(p.bytes[pageHeader+i*elementSize+8:])
		children[i] = child{id: id, keys: keyRange{lo: key, hi: within.hi}}
		if i > 0 {
			children[i-1].keys.hi = key
		}
	}
	return children, nil
}

// branchKey returns the key of a branch's element, or nil when it is out of
// bounds. The element itself must be within.
func (p rawPage) branchKey(i int) []byte {
	start := pageHeader + i*elementSize
	key := uint64(start) + uint64(binary.NativeEndian.Uint32(p.bytes[start:]))
	end := key + uint64(binary.NativeEndian.Uint32(p.bytes[start+4:]))
	if key >= end || end > uint64(len(p.bytes)) {
		return nil
	}
	return p.bytes[key:end]
}
