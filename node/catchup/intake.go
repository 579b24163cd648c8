package catchup

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Bounds of what a turn brings, part of the protocol.
const (
	// maxTurnEntries and maxTurnBytes bound the entries, and the bytes of
	// entries, that a side sends in one session: some seconds of checking
	// signatures. What is left is for the next session, which follows at once.
	maxTurnEntries = 65536
	maxTurnBytes   = 16 << 20
)

// Bounds of what waits in memory for being checked and stored together: one
// commit to disk each, of some milliseconds for a thousand entries.
const (
	batchEntries = 2048
	batchBytes   = 1 << 20
)

// checkersShare is the least number of entries worth a goroutine to check them.
const checkersShare = 16

// intake checks the entries that a peer sends, as gossip would, and stores
// them, in batches and in their order.
type intake struct {
	store  Store
	admit  func(*entry.Entry) error
	many   func()    // called when it turns out, and when it goes on, that many come
	lo, hi entry.Key // what is compared
	last   entry.Key // the last one of this turn

	batch [][]byte
	size  int // of batch, in bytes
	total int // entries of the session
	bytes int // of them

	added   int // new to us
	held    int // by us already, mostly since gossip was faster
	refused int // not admitted
}

// turn starts a turn of theirs.
func (in *intake) turn() { in.last = entry.Key{} }

// frame takes a frame of entries: each its length as a varint, and its bytes.
func (in *intake) frame(ctx context.Context, payload []byte) error {
	d := &decoder{b: payload}
	if len(payload) == 0 {
		d.fail("a frame without entries")
	}
	for len(d.b) > 0 && d.err == nil {
		raw := d.take(int(d.uvarint(entry.MaxRaw)))
		if in.total++; in.total > maxTurnEntries {
			d.fail("more than %d entries", maxTurnEntries)
		}
		if in.bytes += len(raw); in.bytes > maxTurnBytes {
			d.fail("more than %d bytes of entries", maxTurnBytes)
		}
		if d.err != nil {
			break
		}
		if in.total == bulkEntries {
			in.many()
		}
		in.batch = append(in.batch, bytes.Clone(raw))
		in.size += len(raw)
		if len(in.batch) >= batchEntries || in.size >= batchBytes {
			if err := in.flush(ctx); err != nil {
				return err
			}
		}
	}
	return d.end("entries")
}

// flush checks and stores what is waiting. What comes before a bad entry is
// stored all the same. Its errors wrap entry.ErrInvalid, errProtocol, or are
// the store's.
func (in *intake) flush(ctx context.Context) error {
	if len(in.batch) == 0 {
		return nil
	}
	checked := check(in.store, in.batch)
	in.batch, in.size = in.batch[:0], 0
	good, bad := in.sort(checked)
	if len(good) > 0 {
		records, err := in.store.Append(ctx, ledger.CatchUp, good...)
		if err != nil {
			return fmt.Errorf("storing %d entries: %w", len(good), err)
		}
		in.added += len(records)
		in.held += len(good) - len(records)
		if len(records) > 0 && in.total >= bulkEntries {
			in.many()
		}
	}
	return bad
}

// sort picks the entries to store, up to the first bad one.
func (in *intake) sort(all []checked) (good []*entry.Entry, bad error) {
	for _, c := range all {
		if c.err != nil {
			return good, c.err
		}
		k := c.entry.Key()
		switch {
		case k.Compare(in.lo) < 0 || k.Compare(in.hi) >= 0:
			return good, fmt.Errorf("%w: an entry outside what was compared", errProtocol)
		case k.Compare(in.last) <= 0:
			return good, fmt.Errorf("%w: entries out of order", errProtocol)
		}
		in.last = k
		switch {
		case c.held:
			in.held++
		case in.admit(c.entry) != nil:
			in.refused++
		default:
			good = append(good, c.entry)
		}
	}
	return good, nil
}

// checked is what became of one entry.
type checked struct {
	entry *entry.Entry
	held  bool // by the store already; its signature was not looked at
	err   error
}

// check decodes entries and verifies their signatures, which takes some 60 us
// each, on as many processors as there are.
func check(store Store, raws [][]byte) []checked {
	out := make([]checked, len(raws))
	workers := min(runtime.GOMAXPROCS(0), (len(raws)+checkersShare-1)/checkersShare)
	share := (len(raws) + workers - 1) / workers
	var wg sync.WaitGroup
	for lo := 0; lo < len(raws); lo += share {
		hi := min(lo+share, len(raws))
		wg.Go(func() {
			for i := lo; i < hi; i++ {
				out[i] = checkOne(store, raws[i])
			}
		})
	}
	wg.Wait()
	return out
}

func checkOne(store Store, raw []byte) checked {
	e, err := entry.ParseTrusted(raw)
	if err != nil {
		return checked{err: err}
	}
	if store.Has(e.Key()) {
		return checked{entry: e, held: true}
	}
	e, err = entry.Parse(raw)
	return checked{entry: e, err: err}
}
