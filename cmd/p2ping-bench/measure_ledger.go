package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

const (
	// appendBatches of appendBatch entries, a commit and an fsync each, are what
	// a catch-up does.
	appendBatches = 10
	appendBatch   = 1000
	// appendOnes single appends are what an idle node does.
	appendOnes = 50
	lastPage   = 100
)

// measureLedger measures a ledger as it grows.
func (b *bench) measureLedger(ctx context.Context) (sample, error) {
	s := make(sample)
	idle := make(sample)
	if err := b.idle(ctx, idle, "p2ping", b.startIdle); err != nil {
		return nil, err
	}
	for _, n := range b.sizes {
		path, err := b.ledgerOf(ctx, n)
		if err != nil {
			return nil, err
		}
		if err := b.startWith(ctx, s, n, path, idle["memory/p2ping"]); err != nil {
			return nil, err
		}
		if err := b.measureFile(ctx, s, n, path); err != nil {
			return nil, err
		}
		b.sayf("  measured a ledger of %d entries", n)
	}
	return s, nil
}

// startWith starts p2ping on a ledger and looks at time, memory and streams.
func (b *bench) startWith(ctx context.Context, s sample, n int, path string, idle float64) (err error) {
	dir, err := b.newDir("ledger", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var p *proc
	spawn := func(api string) (_ *proc, err error) {
		p, err = b.spawnP2ping(p2pingConfig{dir: dir, http: api, all: true})
		return p, err
	}
	took, err := b.startup(ctx, "/livez", spawn)
	if err != nil {
		return err
	}
	s[sized("ledger/start", n)] = milliseconds(took)
	if p, err = b.startP2ping(ctx, p2pingConfig{dir: dir, all: true}); err != nil {
		return err
	}
	defer p.stop()
	if _, err := syncOf(ctx, p); err != nil { // which makes it read every key
		return err
	}
	m, err := b.rested(ctx, p)
	if err != nil {
		return err
	}
	s[sized("ledger/memory", n)] = (m.resident - idle) * 1e6 / (1 << 20)
	return b.measureStreams(ctx, s, n, p)
}

// measureFile measures operations on a copy of a ledger of n entries.
func (b *bench) measureFile(ctx context.Context, s sample, n int, path string) (err error) {
	dir, err := b.newDir("ledger", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	s[sized("ledger/file", n)] = float64(info.Size()) / 1e6
	l, err := ledger.Open(ledger.Config{Path: filepath.Join(dir, "ledger.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	note := func(series string, f func() error) error {
		took, err := timed(f)
		s[sized(series, n)] = milliseconds(took)
		return err
	}
	digest := func() error { _, _, err := l.Digest(); return err }
	if err := note("ledger/digest", digest); err != nil {
		return err
	}
	if err := measureAppend(ctx, s, n, l); err != nil {
		return err
	}
	if err := note("ledger/digest again", digest); err != nil {
		return err
	}
	if err := note("ledger/last", func() error { return readLast(l, lastPage) }); err != nil {
		return err
	}
	oldest, err := l.After(0, 1)
	if err != nil {
		return err
	}
	return note("ledger/find", func() error { _, err := l.Find(ctx, oldest[0].Entry.ID); return err })
}

func measureAppend(ctx context.Context, s sample, n int, l *ledger.Ledger) error {
	a, err := newAuthor()
	if err != nil {
		return err
	}
	next := n
	batch := func(size int) ([]*entry.Entry, error) {
		var out []*entry.Entry
		for range size {
			e, err := a.forged(a.at(next))
			if err != nil {
				return nil, err
			}
			next++
			out = append(out, e)
		}
		return out, nil
	}
	appendAll := func(times, size int) ([]time.Duration, error) {
		var all []time.Duration
		for range times {
			entries, err := batch(size)
			if err != nil {
				return nil, err
			}
			took, err := timed(func() error { _, err := l.Append(ctx, ledger.CatchUp, entries...); return err })
			if err != nil {
				return nil, err
			}
			all = append(all, took)
		}
		return all, nil
	}
	many, err := appendAll(appendBatches, appendBatch)
	if err != nil {
		return err
	}
	// The digest before was of all; this one is taken after single appends.
	if _, _, err := l.Digest(); err != nil {
		return err
	}
	ones, err := appendAll(appendOnes, 1)
	if err != nil {
		return err
	}
	s[sized("ledger/append", n)] = float64(percentile(many, 0.5).Microseconds()) / appendBatch
	s[sized("ledger/one", n)] = milliseconds(percentile(ones, 0.5))
	return nil
}

// readLast reads the newest n records, as GET /pings does.
func readLast(l *ledger.Ledger, n int) error {
	for _, err := range l.RangeDown(entry.Key{}, entry.LastKey()) {
		if err != nil {
			return err
		}
		if n--; n == 0 {
			break
		}
	}
	return nil
}
