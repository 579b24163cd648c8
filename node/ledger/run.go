package ledger

import (
	"context"
	"time"
)

// rowOnDisk is about what an index row takes on disk, in bytes.
const rowOnDisk = 90

// touch notes that reading mapped n bytes of the file into memory.
func (l *Ledger) touch(int) {}

// Run looks after the ledger until the context ends: it raises the floor and
// deletes what is below it, tries a full disk again, and checks what is stored.
func (l *Ledger) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-l.kick:
		}
		if err := l.Prune(time.Now()); err != nil {
			l.logger.Error("pruning the ledger", "error", err)
		}
		timer.Reset(10 * time.Second)
	}
}

// Scrub reads all that is stored, drops what is damaged, and returns how many
// records that were.
func (l *Ledger) Scrub(ctx context.Context) (dropped int, err error) {
	before := l.State().Damaged
	for r, err := range l.Range(floorKey(0), lastKey()) {
		if err != nil {
			return 0, err
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		_ = r
	}
	return l.State().Damaged - before, nil
}
