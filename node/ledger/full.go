package ledger

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	berrors "go.etcd.io/bbolt/errors"
)

// isFull tells whether a commit failed for want of room. bbolt flattens the
// errors of growing its file to text, so that has to be looked at.
func isFull(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return errors.Is(err, berrors.ErrMaxSizeReached)
}

// fullOr makes an error about want of room [ErrFull].
func fullOr(err error) error {
	if err == nil || !isFull(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// setFull notes whether there was room for a commit, and says so when that
// changes. Just after a commit that failed, one that succeeded says little: on
// a disk that is nearly full, small ones do.
func (l *Ledger) setFull(full bool) {
	l.mu.Lock()
	was := l.full
	if full {
		l.tried = time.Now()
	} else if was && time.Since(l.tried) < probeAfter {
		full = true
	}
	l.full = full
	l.mu.Unlock()
	switch {
	case full && !was:
		l.logger.Error("no room for the ledger on the disk: nothing is stored until there is", "path", l.path)
		l.wake()
	case was && !full:
		l.logger.Info("there is room for the ledger again", "path", l.path)
	}
}

// probeAfter is how long Writable waits after a write that failed before it
// tries one itself.
const probeAfter = time.Second

// probeSize is what a probe writes, more than a commit of a few entries does:
// a disk with less is still full.
const probeSize = 64 << 10

// Writable returns nil, or [ErrFull] while there is no room on the disk. A
// second after the last write that failed it tries one itself, so that it
// notices room without anybody appending.
func (l *Ledger) Writable() error {
	l.mu.Lock()
	full, tried := l.full, l.tried
	l.mu.Unlock()
	switch {
	case !full:
		return nil
	case time.Since(tried) < probeAfter:
		return ErrFull
	}
	return l.probe()
}

// probe stores what is in the journal, and writes and deletes a value of
// probeSize.
func (l *Ledger) probe() error {
	if err := l.settled(); err != nil {
		return err
	}
	key := []byte("probe")
	put := func(s snapshot) ([]Record, error) { return nil, s.meta.Put(key, make([]byte, probeSize)) }
	remove := func(s snapshot) ([]Record, error) { return nil, s.meta.Delete(key) }
	if err := l.update(put); err != nil {
		return err
	}
	return l.update(remove)
}
