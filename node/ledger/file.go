package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The buckets of the file. The log has records by cursor, so that data is
// appended at the end of the file; the index has rows by key, so that scans of
// keys touch little; meta has the totals.
const (
	logBucket   = "log"
	indexBucket = "index"
	metaBucket  = "meta"
	totalsKey   = "totals"
)

// allocStep is by how much the file grows at a time once it is larger than
// that. bbolt's own 16 MiB are much on a small disk, where the file system
// may not store holes as holes; a smaller step costs more fsyncs.
const allocStep = 4 << 20

// lockPatience is how long Open waits for another process to let go of the
// file: a node that is restarted may overlap with its predecessor's last
// commit.
const lockPatience = 200 * time.Millisecond

// rebuildHint ends errors about damage.
const rebuildHint = "`p2ping ledger rebuild` keeps the file aside, saves what can be read, and the rest comes from peers"

// openFile opens the ledger's file, or makes it. Its errors about damage carry
// a hint.
func openFile(path string, noSync bool, logger *slog.Logger) (*bbolt.DB, *os.File, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := createFile(path, noSync, logger); err != nil {
			return nil, nil, fullOr(err)
		}
	case err == nil && info.Size() == 0: // nothing of ours leaves it like that
		journalled, err := findJournalled(path + journalSuffix)
		if err == nil && len(journalled) > 0 {
			err = fmt.Errorf("%w: the file is empty, but its journal has %d entries", ErrDamaged, len(journalled))
		}
		if err != nil {
			return nil, nil, hinted(err)
		}
		logger.Warn("the ledger's file is empty: the ledger begins anew", "path", path)
	}
	db, f, err := openBolt(path, noSync, logger)
	return db, f, hinted(fullOr(err))
}

// createFile makes an empty ledger under another name and gives it its own
// name then, so that no crash leaves half a file at path.
func createFile(path string, noSync bool, logger *slog.Logger) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already when it was renamed
	db, _, err := openBolt(f.Name(), noSync, logger)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := placeFile(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// freshFile makes the file that becomes the one at path when it is whole. What a
// process that was killed left there goes. Only who has the ledger locked may
// call it.
func freshFile(path string) (*os.File, error) {
	name := path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// placeFile gives a file the name path, which nothing may have, and removes its
// old name. It fails with os.ErrExist when path exists.
func placeFile(name, path string) error {
	if err := os.Link(name, path); err == nil || errors.Is(err, os.ErrExist) {
		return errors.Join(err, os.Remove(name), syncDir(path))
	}
	// A file system without hard links: no other process is likely to make the
	// same file in between.
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return os.ErrExist
	}
	return errors.Join(os.Rename(name, path), syncDir(path))
}

// syncDir makes the names in path's directory durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = d.Sync() // some systems cannot sync a directory: nothing to be done then
	return d.Close()
}

// openBolt opens a bbolt file that is a ledger, or empty. The file that it
// returns belongs to the database.
func openBolt(path string, noSync bool, logger *slog.Logger) (*bbolt.DB, *os.File, error) {
	db, f, err := openPages(path, noSync, logger)
	if err != nil {
		return nil, nil, err
	}
	if err := initialise(db); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, f, nil
}

// openPages opens a bbolt file and checks its pages.
func openPages(path string, noSync bool, logger *slog.Logger) (db *bbolt.DB, f *os.File, err error) {
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		// bbolt trusts its pages, and can fault or recurse for ever on bad
		// ones. So they are checked between its opening the file and reading it.
		OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
			f, err = openLocked(path, flag, mode, logger)
			return f, err
		},
		Timeout: lockPatience,
		NoSync:  noSync,
		// The free list is synced: else each start, and each commit that
		// fails, would read the whole file to find it again. The map keeps
		// commits fast when pruning has left many free pages.
		FreelistType: bbolt.FreelistMapType,
		// Nothing reads them, and they cost a lock in each transaction.
		NoStatistics: true,
		// InitialMmapSize stays zero: the mapping doubles as the file grows,
		// some 15 times in a ledger's life, and no reader here holds a
		// transaction for long. PageSize stays the system's: records of 300
		// bytes fit well.
	})
	switch {
	case err == nil:
		db.AllocSize = allocStep
		return db, f, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, nil, ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, nil, err
}

// openLocked opens and locks the file and checks its structure, unless it is
// empty. The lock belongs to the open file, so bbolt's own lock succeeds.
func openLocked(path string, flag int, mode os.FileMode, logger *slog.Logger) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	if err := lockNamed(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = checkStructure(f, info.Size(), checkBudget, logger)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lockNamed locks an open file that has the name path. It fails with [ErrLocked]
// as well when the file has lost that name while it waited: to a rebuild, which
// keeps the old file aside.
func lockNamed(f *os.File, path string) error {
	if err := lockFile(f, lockPatience); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Stat(path); err != nil || !os.SameFile(info, named) {
		return ErrLocked
	}
	return nil
}

// initialise makes the buckets of a file that has none. checkStructure has
// made sure that it has no others.
func initialise(db *bbolt.DB) (err error) {
	defer recoverDamage(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	buckets := 0
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func([]byte, *bbolt.Bucket) error {
			buckets++
			return nil
		})
	})
	if err != nil || buckets > 0 {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{logBucket, indexBucket, metaBucket} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return storeTotals(tx, totals{next: 1})
	})
}
