package api

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"p2ping/node"
)

// openKeys opens the file at path if there is one, so that what is wrong with
// it shows at once.
func openKeys(path string) (*keys, error) {
	k := &keys{path: path, active: make(map[keyHash]bool)}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	_, err := k.file()
	return k, err
}

// file returns the open file, which it makes if need be.
func (k *keys) file() (*bbolt.DB, error) {
	k.opening.Lock()
	defer k.opening.Unlock()
	if k.closed {
		return nil, node.ErrStopped
	}
	if k.db != nil {
		return k.db, nil
	}
	db, count, err := openKeyFile(k.path)
	if err != nil {
		return nil, fmt.Errorf("opening %q, which remembers idempotency keys: %w", k.path, err)
	}
	k.db = db
	k.mu.Lock()
	k.count = count
	k.mu.Unlock()
	return db, nil
}

// openKeyFile opens the file, or makes it, and counts the keys in it.
func openKeyFile(path string) (db *bbolt.DB, count int, err error) {
	defer func() {
		if v := recover(); v != nil { // bbolt panics at some damage
			err = fmt.Errorf("it is damaged: %v: move it away to begin with none", v)
		}
	}()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createKeyFile(path); err != nil {
			return nil, 0, err
		}
	}
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, 0, err
	}
	db.MaxBatchDelay = time.Millisecond
	complete := false
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(ageBucket))
		if complete = b != nil && tx.Bucket([]byte(keyBucket)) != nil; complete {
			count = b.Stats().KeyN // there are as many in the other, which takes longer to count
		}
		return nil
	})
	if err == nil && !complete {
		err = db.Update(makeBuckets)
	}
	if err != nil {
		return nil, 0, errors.Join(err, db.Close())
	}
	return db, count, nil
}

// createKeyFile makes an empty file under another name and gives it its own
// name then, so that neither a crash nor a full disk leaves half a file at path.
func createKeyFile(path string) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeKeyFile(temporary); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	// Keys are about to be promised: the name must survive a loss of power.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = dir.Sync() // some systems can't sync a directory: nothing to be done then
	return dir.Close()
}

// writeKeyFile writes a file without keys, and syncs it once, at the end.
func writeKeyFile(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true})
	if err != nil {
		return err
	}
	if err = db.Update(makeBuckets); err == nil {
		err = db.Sync()
	}
	return errors.Join(err, db.Close())
}

// makeBuckets makes those buckets that are not there.
func makeBuckets(tx *bbolt.Tx) error {
	for _, name := range []string{ageBucket, keyBucket} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

// close closes the file. What comes later is refused with node.ErrStopped.
func (k *keys) close() error {
	k.opening.Lock()
	defer k.opening.Unlock()
	k.closed = true
	if k.db == nil {
		return nil
	}
	if err := k.db.Close(); err != nil {
		return fmt.Errorf("closing the idempotency keys: %w", err)
	}
	return nil
}
