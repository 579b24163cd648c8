package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/host"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// maxLateJoiner bounds the late joiner's ledger: its entries are all signed.
const maxLateJoiner = 20_000

// gap is how two ledgers differ.
type gap struct {
	missing   int
	scattered bool // over the whole ledger, else in one place
}

func (g gap) String() string {
	switch {
	case g.missing == 0:
		return "equal"
	case g.scattered:
		return fmt.Sprintf("%d missing here and there", g.missing)
	}
	return fmt.Sprintf("%d missing in a row", g.missing)
}

func (g gap) series(what string, n int) string { return sized("catchup/"+what+" "+g.String(), n) }

// gaps lists what is measured with n entries. The last is a late joiner, who
// has none at all, if n is small enough.
func gaps(n int) []gap {
	all := []gap{{missing: 0}, {missing: 1}}
	for _, d := range []int{100, 1000, 10_000} {
		if d < n {
			all = append(all, gap{missing: d}, gap{missing: d, scattered: true})
		}
	}
	if n <= maxLateJoiner {
		all = append(all, gap{missing: n})
	}
	return all
}

// measureCatchUp has two ledgers that differ made equal, over two libp2p hosts
// in this process and TCP on loopback.
func (b *bench) measureCatchUp(ctx context.Context) (sample, error) {
	s := make(sample)
	for _, n := range b.sizes {
		path, err := b.ledgerOf(ctx, n)
		if err != nil {
			return nil, err
		}
		if err := b.gapsOf(ctx, s, n, path); err != nil {
			return nil, fmt.Errorf("%d entries: %w", n, err)
		}
	}
	return s, nil
}

// gapsOf opens two copies of one ledger and makes one gap after the other:
// reconciling one leaves the two equal for the next.
func (b *bench) gapsOf(ctx context.Context, s sample, n int, path string) (err error) {
	full, err := b.newSide(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, full.close()) }()
	a, err := newAuthor()
	if err != nil {
		return err
	}
	lacking, err := b.newSide(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lacking.close()) }()
	for _, g := range gaps(n) {
		if g.missing == n {
			return b.lateJoiner(ctx, s, n, a)
		}
		if err := measureGap(ctx, s, g, n, a, full, lacking); err != nil {
			return fmt.Errorf("%s: %w", g, err)
		}
		b.sayf("  measured catch-up, %d entries, %s", n, g)
	}
	return nil
}

// lateJoiner has a node without any entry take n, all of them signed.
func (b *bench) lateJoiner(ctx context.Context, s sample, n int, a *author) (err error) {
	full, err := b.newSide("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, full.close()) }()
	lacking, err := b.newSide("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lacking.close()) }()
	return measureGap(ctx, s, gap{missing: n}, n, a, full, lacking)
}

// side is a ledger with a host.
type side struct {
	dir    string
	ledger *ledger.Ledger
	host   host.Host
	addr   string
}

// newSide opens a copy of a ledger, or an empty one for "".
func (b *bench) newSide(path string) (_ *side, err error) {
	s := &side{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = b.newDir("side", path); err != nil {
		return nil, err
	}
	if s.ledger, err = ledger.Open(ledger.Config{Path: filepath.Join(s.dir, "ledger.db")}); err != nil {
		return nil, err
	}
	s.host, s.addr, err = newHost("tcp")
	return s, err
}

func (s *side) close() error {
	var errs []error
	if s.host != nil {
		errs = append(errs, s.host.Close())
	}
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// add appends signed entries between those of a ledger of n, as many as a gap
// misses, and returns their size.
func (s *side) add(ctx context.Context, a *author, g gap, n int) (size int, err error) {
	batch := make([]*entry.Entry, 0, g.missing)
	for i := range g.missing {
		at := a.at(n/2 + i)
		if g.scattered {
			at = a.at(i * (n / g.missing))
		}
		e, err := a.signed(at.Add(entrySpacing / 2))
		if err != nil {
			return 0, err
		}
		size += len(e.Raw)
		batch = append(batch, e)
	}
	if len(batch) == 0 {
		return 0, nil
	}
	_, err = s.ledger.Append(ctx, ledger.Own, batch...)
	return size, err
}
