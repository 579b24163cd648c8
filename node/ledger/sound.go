package ledger

import (
	"bytes"
	"fmt"

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
	return &sound{checker: checker{r: l.file, meta: meta{pageSize: size, pages: uint64(tx.Size() / size)}}}
}

// keyRange is the keys from lo to below hi; no hi is no end.
type keyRange struct{ lo, hi []byte }

func (r keyRange) has(key []byte) bool {
	return bytes.Compare(r.lo, key) <= 0 && (r.hi == nil || bytes.Compare(key, r.hi) < 0)
}

// check checks the leaf that has the place of key, and its neighbours, which a
// deletion may merge with it. The branches were checked when the file was
// opened; they are checked again as they are read.
func (c *sound) check(b *bbolt.Bucket, key []byte) error {
	root := uint64(b.Root())
	if r, ok := c.found[root]; ok && r.has(key) || root == 0 {
		return nil
	}
	r := keyRange{}
	for id, depth := root, 0; depth < maxDepth; depth++ {
		p, err := c.page(id)
		if err != nil {
			return err
		}
		if p.flags == leafPage {
			if c.found == nil {
				c.found = make(map[uint64]keyRange)
			}
			c.found[root] = r
			_, err := p.leafElements()
			return err
		}
		children, err := p.branchChildren(nil)
		if err != nil {
			return err
		}
		i := 0
		for i+1 < len(children) && bytes.Compare(p.branchKey(i+1), key) <= 0 {
			i++
		}
		r.lo = bytes.Clone(p.branchKey(i))
		if i == 0 {
			r.lo = nil // what is lower than the first is put before it
		}
		if i+1 < len(children) {
			r.hi = bytes.Clone(p.branchKey(i + 1))
		}
		id = children[i]
		if err := c.checkNeighbours(children, i); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: its tree is too deep", ErrDamaged)
}

// maxDepth bounds a tree's depth: with two children a branch, the least that
// bbolt makes, that is more pages than a file can have.
const maxDepth = 48

// checkNeighbours checks the leaves on both sides of child i, if they are any.
func (c *sound) checkNeighbours(children []uint64, i int) error {
	for _, n := range []int{i - 1, i + 1} {
		if n < 0 || n >= len(children) {
			continue
		}
		p, err := c.page(children[n])
		if err != nil {
			return err
		}
		if p.flags != leafPage {
			_, err = p.branchChildren(nil)
		} else {
			_, err = p.leafElements()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
