package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
)

// checkBudget is how long the check of a file's leaves may take at the start;
// those of a million entries take a fifth of that when the system has the file
// cached. Damage in a leaf that was not looked at is found when it is read.
const checkBudget = time.Second

// checkStructure checks the pages of a bbolt file with plain reads, as bbolt
// itself takes what it finds for addresses, and a wrong one can fault, recurse
// for ever, or ask for all memory. All of the tree's branches, the buckets and
// the free list are checked, and of the leaves as many as the budget allows.
// Its errors wrap [ErrDamaged] and say what is wrong.
func checkStructure(r io.ReaderAt, size int64, budget time.Duration, logger *slog.Logger) error {
	m, err := readMeta(r, size, logger)
	if err != nil {
		return err
	}
	if int64(m.pages) > size/m.pageSize {
		return fmt.Errorf("%w: the file is cut short: %d bytes, but %d pages of %d", ErrDamaged, size, m.pages, m.pageSize)
	}
	c := &checker{meta: m, r: r, seen: make([]uint64, m.pages/64+1)}
	if err := c.checkRoot(); err != nil {
		return err
	}
	if err := c.checkFreeList(); err != nil {
		return err
	}
	return c.checkLeaves(time.Now().Add(budget))
}

// checker walks the pages that a meta page leads to.
type checker struct {
	meta
	r      io.ReaderAt
	seen   []uint64 // a bit for each page that was reached
	leaves []child  // pages that must be leaves, and were not looked at
	// ahead has what was read last, and more when step says so: the leaves are
	// read in order.
	ahead   []byte
	aheadAt int64
	step    int64
}

// reach notes pages that the tree, or the free list, has: each once.
func (c *checker) reach(id, count uint64) error {
	if id < 2 || id >= c.pages || count > c.pages-id {
		return fmt.Errorf("%w: page %d is not within the file's %d", ErrDamaged, id, c.pages)
	}
	for ; count > 0; id, count = id+1, count-1 {
		if c.seen[id/64]&(1<<(id%64)) != 0 {
			return fmt.Errorf("%w: page %d is used twice", ErrDamaged, id)
		}
		c.seen[id/64] |= 1 << (id % 64)
	}
	return nil
}

// checkRoot checks the root bucket, which has nothing but a ledger's buckets,
// and the trees of those.
func (c *checker) checkRoot() error {
	if err := c.reach(c.root, 1); err != nil {
		return err
	}
	p, err := c.page(c.root)
	if err != nil {
		return err
	}
	if p.flags != leafPage {
		return errForeign(fmt.Sprintf("it has a root of type %#x", p.flags))
	}
	p.bytes = bytes.Clone(p.bytes) // it is used while others are read
	names := []string{indexBucket, logBucket, metaBucket}
	if p.count != 0 && int(p.count) != len(names) {
		return errForeign(fmt.Sprintf("it has %d buckets", p.count))
	}
	for i := range int(p.count) {
		e, err := p.leafElement(i)
		if err != nil {
			return err
		}
		if string(e.key) != names[i] || !e.bucket || len(e.value) < bucketHeader {
			return errForeign(fmt.Sprintf("it has %.20q", e.key))
		}
		if err := c.checkBucket(e); err != nil {
			return fmt.Errorf("bucket %s: %w", e.key, err)
		}
	}
	return nil
}

func errForeign(why string) error {
	return fmt.Errorf("%w: it is a bbolt file, but not one of p2ping's: %s", ErrDamaged, why)
}

// checkBucket checks a bucket's tree, or the page within a small bucket's
// value.
func (c *checker) checkBucket(e element) error {
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return c.checkTree(root)
	}
	p, err := parsePage(e.value[bucketHeader:])
	if err != nil {
		return err
	}
	if p.flags != leafPage {
		return fmt.Errorf("%w: its page is of type %#x", ErrDamaged, p.flags)
	}
	return p.checkLeaf(keyRange{})
}

// checkTree checks a tree's branches, level by level. All pages of a level are
// of the type of its first.
func (c *checker) checkTree(root uint64) error {
	for level := []child{{id: root}}; len(level) > 0; {
		for _, n := range level {
			if err := c.reach(n.id, 1); err != nil {
				return err
			}
		}
		var next []child
		for i, n := range level {
			p, err := c.page(n.id)
			if err != nil {
				return err
			}
			if i == 0 && p.flags == leafPage {
				c.leaves = append(c.leaves, level...)
				return nil
			}
			p.bytes = bytes.Clone(p.bytes) // its keys are needed while others are read
			children, err := p.branchChildren(n.keys)
			if err != nil {
				return err
			}
			next = append(next, children...)
		}
		level = next
	}
	return nil
}

// checkLeaves checks the leaves in the order in which the file has them, until
// the deadline.
func (c *checker) checkLeaves(deadline time.Time) error {
	slices.SortFunc(c.leaves, func(a, b child) int { return cmp.Compare(a.id, b.id) })
	c.step = readAhead
	for i, n := range c.leaves {
		if i%256 == 0 && time.Now().After(deadline) {
			return nil
		}
		p, err := c.page(n.id)
		if err != nil {
			return err
		}
		if p.flags != leafPage {
			return fmt.Errorf("%w: page %d is of type %#x, not a leaf", ErrDamaged, n.id, p.flags)
		}
		if err := p.checkLeaf(n.keys); err != nil {
			return err
		}
		if p.overflow > 0 {
			if err := c.reach(n.id+1, uint64(p.overflow)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFreeList checks that no page is both free and in use: bbolt would write
// over it.
func (c *checker) checkFreeList() error {
	if c.freeList == noFreeList {
		return nil
	}
	if err := c.reach(c.freeList, 1); err != nil {
		return err
	}
	p, err := c.pageOf(c.freeList, int64(c.pages)*8/c.pageSize+2)
	if err != nil {
		return err
	}
	if p.flags != freeListPage {
		return fmt.Errorf("%w: page %d is of type %#x, not a free list", ErrDamaged, c.freeList, p.flags)
	}
	if err := c.reach(c.freeList+1, uint64(p.overflow)); p.overflow > 0 && err != nil {
		return err
	}
	ids := p.bytes[pageHeader:]
	count := uint64(p.count)
	if p.count == 0xFFFF {
		if count = binary.NativeEndian.Uint64(ids); count < 0xFFFF {
			return fmt.Errorf("%w: the free list has a wrong length", ErrDamaged)
		}
		ids = ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("%w: the free list is longer than its page", ErrDamaged)
	}
	for i := range count {
		if err := c.reach(binary.NativeEndian.Uint64(ids[8*i:]), 1); err != nil {
			return fmt.Errorf("the free list: %w", err)
		}
	}
	return nil
}

// maxOverflow bounds a tree page's further pages: one holds at most a few
// entries of 64 KiB.
const maxOverflow = 1 << 20

// page reads a page of a tree.
func (c *checker) page(id uint64) (rawPage, error) {
	return c.pageOf(id, maxOverflow/c.pageSize)
}

// pageOf reads a page with its overflow, which may have up to limit pages.
func (c *checker) pageOf(id uint64, limit int64) (rawPage, error) {
	b, err := c.read(int64(id)*c.pageSize, c.pageSize)
	if err != nil {
		return rawPage{}, err
	}
	p, err := parsePage(b)
	switch {
	case err != nil:
		return rawPage{}, err
	case p.id != id:
		return rawPage{}, fmt.Errorf("%w: page %d says that it is page %d", ErrDamaged, id, p.id)
	case int64(p.overflow) > limit || uint64(p.overflow) >= c.pages-id:
		return rawPage{}, fmt.Errorf("%w: page %d overflows into %d pages", ErrDamaged, id, p.overflow)
	case p.overflow == 0:
		return p, nil
	}
	if b, err = c.read(int64(id)*c.pageSize, c.pageSize*int64(p.overflow+1)); err != nil {
		return rawPage{}, err
	}
	return parsePage(b)
}

// readAhead is how much of the leaves is read at once.
const readAhead = 256 << 10

// read returns n bytes at an offset, valid until the next call.
func (c *checker) read(offset, n int64) ([]byte, error) {
	if at := offset - c.aheadAt; at >= 0 && at+n <= int64(len(c.ahead)) {
		return c.ahead[at : at+n], nil
	}
	end := min(offset+max(n, c.step), int64(c.pages)*c.pageSize)
	c.ahead = slices.Grow(c.ahead[:0], int(end-offset))[:end-offset]
	if _, err := c.r.ReadAt(c.ahead, offset); err != nil {
		c.ahead = c.ahead[:0]
		return nil, fmt.Errorf("reading page %d: %w", offset/c.pageSize, err)
	}
	c.aheadAt = offset
	return c.ahead[:n], nil
}
