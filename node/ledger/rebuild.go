package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"slices"
	"time"
)

// cursorJump is by how much a rebuilt ledger's next cursor is above the highest
// that was found: the newest records may be lost, and followers know theirs.
const cursorJump = 1 << 20

// Rebuild makes a new ledger at path of the records in the old file, and in its
// journal, that still verify, wherever they are in them. It keeps the old file
// under a name beside it, which it returns, and the journal under that name with
// the journal's suffix. Cursors, their epochs, ways and times of arrival stay. The floor
// starts anew: the next Prune raises it again. Rebuild needs as much room as the
// old file takes; when it fails, the old files are still there. It fails with
// [ErrLocked] while a process has the ledger open.
//
// A file that is not damaged can be rebuilt as well; that makes it as small as
// it can be.
func Rebuild(path string) (aside string, err error) {
	aside, made, err := rebuild(path, time.Now())
	if err == nil {
		err = made.Close()
	}
	if err != nil {
		return "", fmt.Errorf("rebuilding ledger %q: %w", path, fullOr(err))
	}
	return aside, nil
}

// rebuild makes the new ledger, which it returns open and locked: nobody may open
// it, and make a journal for it, before the old journal is out of the way.
func rebuild(path string, now time.Time) (aside string, made *os.File, err error) {
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	defer old.Close() //nolint:errcheck // it was only read
	if err := lockNamed(old, path); err != nil {
		return "", nil, err
	}
	made, err = freshFile(path)
	if err != nil {
		return "", nil, err
	}
	if aside, err = replace(old, made, path, now); err != nil {
		_ = os.Remove(made.Name()) // gone already when it was renamed
		return "", nil, errors.Join(err, made.Close())
	}
	return aside, made, nil
}

// replace makes made the ledger at path, of what verifies in old, and locks it.
func replace(old, made *os.File, path string, now time.Time) (aside string, err error) {
	if err := salvage(old, path+journalSuffix, made.Name()); err != nil {
		return "", err
	}
	if err := lockFile(made, lockPatience); err != nil {
		return "", err
	}
	if aside, err = putAside(path, now); err != nil {
		return "", err
	}
	if err := os.Rename(made.Name(), path); err != nil {
		return "", err
	}
	// The new ledger does not name the journal, so it never takes it for its own.
	if err := os.Rename(path+journalSuffix, aside+journalSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return aside, syncDir(path)
}

// putAside gives the file at path a second name that nothing has, or, where the
// file system has no hard links, another name.
func putAside(path string, now time.Time) (string, error) {
	stem := path + ".aside-" + now.UTC().Format("20060102T150405Z")
	for i := 1; i < 100; i++ {
		aside := stem
		if i > 1 {
			aside = fmt.Sprintf("%s-%d", stem, i)
		}
		err := os.Link(path, aside)
		if err == nil {
			return aside, nil
		}
		if _, stat := os.Lstat(aside); errors.Is(stat, os.ErrNotExist) {
			return aside, os.Rename(path, aside)
		}
	}
	return "", fmt.Errorf("there is no free name like %q", stem)
}

// found is a record, or where it is in the old file.
type found struct {
	cursor uint64
	at     int64
	size   int
	record Record // without an entry when it is in the old file
}

// salvage copies what verifies in old, and in its journal, if it has one, into
// the new ledger at path.
func salvage(old *os.File, journal, path string) error {
	info, err := old.Stat()
	if err != nil {
		return err
	}
	journalled, err := findJournalled(journal)
	if err != nil {
		return err
	}
	records, known := findRecords(old, info.Size())
	records = append(records, journalled...)
	slices.SortStableFunc(records, func(a, b found) int { return cmp.Compare(a.cursor, b.cursor) })
	l, err := Open(Config{Path: path, NoSync: true})
	if err != nil {
		return err
	}
	err = l.restore(old, records, known)
	return errors.Join(err, l.db.Sync(), l.Close())
}

// findRecords looks through all pages of a file, not only through those that
// its tree leads to, and returns the records that verify, and the newest epochs. It
// never faults, as it only reads.
func findRecords(r io.ReaderAt, size int64) (all []found, known epochs) {
	pageSize := int64(os.Getpagesize())
	if m, err := readMeta(r, size, slog.New(slog.DiscardHandler)); err == nil {
		pageSize = m.pageSize
	}
	buffer := make([]byte, pageSize+maxOverflow)
	for at := int64(0); at < size; at += pageSize {
		if p, ok := readLeaf(r, at, pageSize, buffer); ok {
			for e := range p.pairs(at, true) {
				if f, ok := foundIn(e); ok {
					all = append(all, f)
				} else if es := epochsIn(e); es.newer(known) {
					known = es
				}
			}
		}
	}
	return all, known
}

// foundIn returns the record that a pair of a leaf is, if it verifies.
func foundIn(e element) (found, bool) {
	if len(e.key) != cursorSize {
		return found{}, false
	}
	cursor := binary.BigEndian.Uint64(e.key)
	_, err := decodeRecord(cursor, e.value)
	return found{cursor: cursor, at: e.at, size: len(e.value)}, err == nil && cursor > 0 && cursor < 1<<62
}

// epochsIn returns the epochs that a pair of a leaf is, nil for none.
func epochsIn(e element) epochs {
	if string(e.key) != epochsKey {
		return nil
	}
	es, err := decodeEpochs(e.value)
	if err != nil {
		return nil
	}
	return es
}

// findJournalled returns the records in a journal whose frames verify, of
// whichever lap. Without a label that can be read there are none.
func findJournalled(path string) (all []found, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	s, err := readLabel(f)
	if err != nil {
		return nil, nil //nolint:nilerr // what is damaged has nothing to save
	}
	for _, f := range framesFrom(f, s, 0) {
		for _, r := range f.records {
			all = append(all, found{cursor: r.Cursor, record: r})
		}
	}
	return all, nil
}

// readLeaf reads the page at an offset with its overflow, if it is a leaf. What
// cannot be read, because a sector is bad, is no leaf.
func readLeaf(r io.ReaderAt, at, pageSize int64, buffer []byte) (rawPage, bool) {
	n, _ := r.ReadAt(buffer[:pageSize], at)
	p, err := parsePage(buffer[:n])
	if err != nil || p.flags != leafPage || p.id != uint64(at/pageSize) {
		return rawPage{}, false
	}
	if p.overflow > 0 {
		want := min(pageSize*(1+int64(p.overflow)), int64(len(buffer)))
		n, _ = r.ReadAt(buffer[:want], at)
		p.bytes = buffer[:n]
	}
	return p, true
}

// pairs yields the pairs of a leaf that begins at an offset of the file, with the
// offset of each one's value in the file; and, when asked to, those in the page of
// a small bucket in their place.
func (p rawPage) pairs(at int64, buckets bool) iter.Seq[element] {
	return func(yield func(element) bool) {
		for i := range int(p.count) {
			e, err := p.leafElement(i)
			if err != nil {
				continue
			}
			e.at += at
			if !e.bucket {
				if !yield(e) {
					return
				}
				continue
			}
			inner, ok := e.inlinePage()
			if !ok || !buckets {
				continue
			}
			for e := range inner.pairs(e.at+bucketHeader, false) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// inlinePage returns the page within a small bucket's value.
func (e element) inlinePage() (rawPage, bool) {
	if len(e.value) < bucketHeader || binary.NativeEndian.Uint64(e.value) != 0 {
		return rawPage{}, false
	}
	p, err := parsePage(e.value[bucketHeader:])
	return p, err == nil && p.flags == leafPage
}

// restoreBatch bounds what one transaction restores.
const restoreBatch = 1000

// restore stores the records that were found in old under their own cursors, which
// are of known epochs.
// Old copies of pages may have a record more than once; and a cursor may have
// two, if the first one's commit failed: the second gets a new cursor.
func (l *Ledger) restore(old io.ReaderAt, records []found, known epochs) error {
	var again []found
	for batch := range slices.Chunk(records, restoreBatch) {
		if err := l.restoreBatch(old, batch, &again); err != nil {
			return err
		}
	}
	err := l.update(func(s snapshot) ([]Record, error) {
		s.next += cursorJump
		if known = known.before(s.next); len(known) == 0 {
			return nil, nil
		}
		return nil, s.put(s.meta, []byte(epochsKey), known.encode())
	})
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(again, restoreBatch) {
		if err := l.restoreBatch(old, batch, nil); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.recent.reset(l.totals.next - 1)
	l.mu.Unlock()
	return l.reload()
}

func (l *Ledger) restoreBatch(old io.ReaderAt, batch []found, again *[]found) error {
	return l.update(func(s snapshot) ([]Record, error) {
		w := newWriter(s)
		for _, f := range batch {
			r, err := f.read(old)
			if err != nil {
				return nil, err
			}
			if _, held := w.lookup(r.Entry.Key()); held {
				continue
			}
			if r.Cursor < w.next {
				if again != nil {
					*again = append(*again, f)
					continue
				}
				r.Cursor = w.next
			}
			if err := w.putRecord(r.Entry.Key(), r); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// read returns the record.
func (f found) read(old io.ReaderAt) (Record, error) {
	if f.record.Entry != nil {
		return f.record, nil
	}
	b := make([]byte, f.size)
	if _, err := old.ReadAt(b, f.at); err != nil {
		return Record{}, err
	}
	return decodeRecord(f.cursor, b)
}
