package ledger

import "go.etcd.io/bbolt"

// rowOnDisk is about what an index row takes on disk, in bytes.
const rowOnDisk = 90

// releaseAfter is how much of the file may be mapped into memory before it is
// given back.
const releaseAfter = 16 << 20

// touch notes that some bytes of the file were mapped into memory, and gives
// the mapping's memory back now and then. It is not called within a transaction:
// a second one waits for a commit that waits, in order to map a larger file, for
// the first.
func (l *Ledger) touch(bytes int) {
	if l.touched.Add(int64(bytes)) >= releaseAfter {
		l.release()
	}
}

// release gives back the memory of the mapped file. Pages stay in the system's
// cache; what is read next is mapped again, at less than a microsecond a page.
// Without this a node's resident memory would grow with its ledger: bbolt maps
// the file for its whole life, and every page that was ever read counts.
func (l *Ledger) release() {
	l.touched.Store(0)
	// The transaction keeps bbolt from mapping the file elsewhere meanwhile.
	_ = l.inTx(false, func(tx *bbolt.Tx) error { // its error would be that of any other
		unmapPages(l.db.Info().Data, tx.Size())
		return nil
	})
}
