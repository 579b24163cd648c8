package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The buckets of the file. The log has records by cursor, so that data is
// appended at the end of the file; the index has rows by key, so that scans of
// keys touch little; meta has the totals.
var (
	logBucket   = []byte("log")    //nolint:gochecknoglobals // a constant, but for its type
	indexBucket = []byte("index")  //nolint:gochecknoglobals // a constant, but for its type
	metaBucket  = []byte("meta")   //nolint:gochecknoglobals // a constant, but for its type
	totalsKey   = []byte("totals") //nolint:gochecknoglobals // a constant, but for its type
)

// allocStep is by how much the file grows at a time once it is larger than
// that. bbolt's own 16 MiB are much on a small disk, where the file system
// may not store holes as holes; each step costs one more fsync.
const allocStep = 4 << 20

// rebuildHint ends errors about damage.
const rebuildHint = "`p2ping ledger rebuild` keeps the file aside, saves what it can and fetches the rest from peers"

// openFile opens the bbolt file and makes sure of its buckets. It checks the
// file's structure before bbolt sees it, because bbolt trusts its pages.
func openFile(path string, noSync bool, logger *slog.Logger) (*bbolt.DB, error) {
	db, err := openBolt(path, noSync, logger)
	if err != nil {
		return nil, hinted(err)
	}
	if err := initialise(db); err != nil {
		return nil, errors.Join(hinted(err), db.Close())
	}
	return db, nil
}

func openBolt(path string, noSync bool, logger *slog.Logger) (db *bbolt.DB, err error) {
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		NoSync: noSync,
		// The free list is synced: else every start, and every commit that
		// fails, would read the whole file to find it again. The map keeps
		// commits fast when pruning left many free pages.
		FreelistType: bbolt.FreelistMapType,
		// The file is checked and locked here, before bbolt reads it.
		OpenFile: func(path string, flag int, mode os.FileMode) (*os.File, error) {
			return openChecked(path, flag, mode, logger)
		},
		// InitialMmapSize stays 0: the mapping doubles as the file grows, some
		// 15 times in a ledger's life, and no reader here holds a transaction
		// for long. Statistics would be a lock for each transaction.
		Timeout:      lockPatience,
		NoStatistics: true,
	})
	switch {
	case err == nil:
		db.AllocSize = allocStep
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, err
}

// openChecked opens and locks the file and checks its structure, unless it is
// empty. The lock belongs to the open file, so bbolt's own lock succeeds.
func openChecked(path string, flag int, mode os.FileMode, logger *slog.Logger) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, lockPatience); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := checkFile(f, logger); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// initialise makes the buckets of a new file, and refuses one that has others.
func initialise(db *bbolt.DB) (err error) {
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	found, others := 0, 0
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			switch string(name) {
			case string(logBucket), string(indexBucket), string(metaBucket):
				found++
			default:
				others++
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return err
	case found == 3 && others == 0:
		return nil
	case found != 0 || others != 0:
		return fmt.Errorf("%w: it is a bbolt file, but not one of p2ping's", ErrDamaged)
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{logBucket, indexBucket, metaBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return storeTotals(tx, totals{next: 1})
	})
}

// view runs f in a reading transaction. What f panics with, faults of the
// mapped file included, becomes an error that wraps [ErrDamaged].
func (l *Ledger) view(f func(*bbolt.Tx) error) (err error) {
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := l.db.View(f); err != nil {
		return closedOr(err)
	}
	return nil
}

// update runs f in a writing transaction and commits. The caller holds
// l.writing. After an error nothing is changed, and what is kept in memory was
// taken from the file again.
func (l *Ledger) update(f func(*bbolt.Tx) error) error {
	err := closedOr(l.tryUpdate(f))
	if err == nil || errors.Is(err, errNothing) {
		if err == nil {
			l.setFull(false)
		}
		return err
	}
	if isFull(err) {
		l.setFull(true)
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if again := l.reload(); again != nil && !errors.Is(err, ErrClosed) {
		l.logger.Error("reading the ledger after a failed commit", "error", again)
	}
	return err
}

func (l *Ledger) tryUpdate(f func(*bbolt.Tx) error) (err error) {
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return l.db.Update(f)
}

// recoverDamage makes an error of a panic. bbolt panics, and reading the mapped
// file faults, where the file is not what it was.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, r)
	}
}

func closedOr(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

func hinted(err error) error {
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w; %s", err, rebuildHint)
	}
	return err
}

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

// setFull notes whether there is room, and says so when that changes.
func (l *Ledger) setFull(full bool) {
	l.mu.Lock()
	was := l.full
	l.full = full
	if full {
		l.tried = time.Now()
	}
	l.mu.Unlock()
	switch {
	case full && !was:
		l.logger.Error("no room for the ledger on the disk", "path", l.path)
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

// Writable returns nil, or [ErrFull] while there is no room on the disk. After
// a second without a try it tries a small write itself, so that it finds out
// that there is room again without anybody appending.
func (l *Ledger) Writable() error {
	l.mu.Lock()
	full, tried := l.full, l.tried
	l.mu.Unlock()
	if !full {
		return nil
	}
	if time.Since(tried) < probeAfter {
		return ErrFull
	}
	return l.probe()
}

// probe writes and deletes a value of probeSize.
func (l *Ledger) probe() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	key := []byte("probe")
	err := l.update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(key, make([]byte, probeSize))
	})
	if err != nil {
		return err
	}
	return l.update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Delete(key) })
}
