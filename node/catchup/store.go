package catchup

import (
	"context"
	"iter"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Store is what catch-up needs of a ledger; see package ledger for what the
// methods promise. They are called from many goroutines.
type Store interface {
	// Fingerprint, Keys and Range look at what is in [lo, hi).
	Fingerprint(lo, hi entry.Key) (ledger.Digest, int, error)
	Keys(lo, hi entry.Key) iter.Seq2[entry.Key, error]
	Range(lo, hi entry.Key) iter.Seq2[ledger.Record, error]
	// Get fails with ledger.ErrNotFound.
	Get(entry.Key) (ledger.Record, error)
	Has(entry.Key) bool
	// Append fails with ledger.ErrFull when the disk is full.
	Append(context.Context, ledger.Via, ...*entry.Entry) ([]ledger.Record, error)
	State() ledger.State
	Changed() <-chan struct{}
	Writable() error
}

var _ Store = (*ledger.Ledger)(nil)
