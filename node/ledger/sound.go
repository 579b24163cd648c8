package ledger

import (
	"bytes"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// put stores a pair, after a look at the pages that bbolt will take apart for
// it: it allocates what the numbers in a leaf add up to, without a bound.
func (s snapshot) put(b *bbolt.Bucket, key, value []byte) error {
	if err := s.sound.check(b, key); err != nil {
		return err
	}
	return b.Put(key, value)
}

// delete removes a pair, after a look at those pages.
func (s snapshot) delete(b *bbolt.Bucket, key []byte) error {
	if err := s.sound.check(b, key); err != nil {
		return err
	}
	return b.Delete(key)
}

// sound checks the leaves that one transaction writes to. It reads the file,
// which has them as they were committed last.
type sound struct {
	checker
	// found is where the last check of each bucket got to: writes that follow
	// mostly meet the same leaf.
	found map[uint64]keyRange
}

func (l *Ledger) newSound(tx *bbolt.Tx) *sound {
	size := int64(l.db.Info().PageSize)
	return &sound{
		checker: checker{r: l.file, meta: meta{pageSize: size, pages: uint64(tx.Size() / size)}},
		found:   make(map[uint64]keyRange),
	}
}

// check checks the leaf that has the place of key, and its neighbours, which a
// deletion may merge with it. The branches were checked when the file was
// opened; they are checked again as they are read.
func (c *sound) check(b *bbolt.Bucket, key []byte) error {
	root := uint64(b.Root())
	if r, ok := c.found[root]; ok && r.has(key) || root == 0 {
		return nil
	}
	n := child{id: root}
	for range maxDepth {
		p, err := c.page(n.id)
		if err != nil {
			return err
		}
		if p.flags == leafPage {
			c.found[root] = n.keys
			return p.checkLeaf(n.keys)
		}
		p.bytes = bytes.Clone(p.bytes) // its keys are needed while others are read
		children, err := p.branchChildren(n.keys)
		if err != nil {
			return err
		}
		children[0].keys.lo = n.keys.lo // what is lower than the first key goes there, too
		at := slices.IndexFunc(children, func(n child) bool { return n.keys.has(key) })
		if at < 0 {
			return fmt.Errorf("%w: page %d has no place for a key", ErrDamaged, p.id)
		}
		if err := c.checkNeighbours(children, at); err != nil {
			return err
		}
		n = children[at]
	}
	return fmt.Errorf("%w: its tree is too deep", ErrDamaged)
}

// maxDepth bounds a tree's depth: with two children a branch, the least that
// bbolt makes, that is more pages than a file can have.
const maxDepth = 48

// checkNeighbours checks the pages on both sides of a child.
func (c *sound) checkNeighbours(children []child, at int) error {
	for _, i := range []int{at - 1, at + 1} {
		if i < 0 || i >= len(children) {
			continue
		}
		p, err := c.page(children[i].id)
		if err != nil {
			return err
		}
		if p.flags == leafPage {
			err = p.checkLeaf(children[i].keys)
		} else {
			_, err = p.branchChildren(children[i].keys)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
