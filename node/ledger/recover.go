package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// recovered is what a journal has from a position on.
type recovered struct {
	records []Record // in order; their cursors rise
	end     uint64   // the place that follows the last frame
	lost    bool     // frames are missing between those that are there
	torn    bool     // there may have been another frame at the end
}

// recoverRecords reads the frames that follow a position, in whichever lap, up to
// the first that is not there, which nobody was told of. As a frame is written
// only when the one before it is durable, and over another only when the bbolt
// file has that, a frame beyond means that the journal is damaged, or that the
// bbolt file is an older copy; what is left is read all the same.
func recoverRecords(r io.ReaderAt, p position) recovered {
	r = &readAheadLap{r: r}
	found := recovered{end: p.place}
	next := p.cursor
	for _, f := range framesFrom(r, p.secret, p.place) {
		if f.place < found.end || f.cursor < next {
			continue // of an append that failed
		}
		found.lost = found.lost || f.place != found.end || f.cursor != next
		found.records = append(found.records, f.records...)
		next = f.cursor + uint64(len(f.records))
		found.end = f.place + f.length()
	}
	found.torn = isTorn(r, p.secret, found.end, next)
	return found
}

// frame is a frame of the journal that verifies.
type frame struct {
	head
	records []Record
}

// framesFrom returns the frames in a journal that are at a place or beyond, in
// order.
func framesFrom(r io.ReaderAt, s secret, place uint64) (all []frame) {
	for at := place; at < place+journalLap; {
		f, err := readFrame(r, s, at)
		if err != nil {
			at += blockSize
			continue
		}
		all = append(all, f)
		at += f.length()
	}
	slices.SortFunc(all, func(a, b frame) int { return cmp.Compare(a.place, b.place) })
	return all
}

// isTorn tells whether there may have been a frame at a place that cannot be read
// any more, or not be told from none.
func isTorn(r io.ReaderAt, s secret, place, cursor uint64) bool {
	b := make([]byte, frameHead)
	if readLap(r, b, place) < len(b) {
		return true
	}
	h, _ := decodeHead(b)
	_, err := readFrame(r, s, place)
	return err != nil && h.traces(place, cursor)
}

// readFrame reads the frame at a place, or the same place in a later lap. Its error
// is about what is there: what cannot be read is no frame.
func readFrame(r io.ReaderAt, s secret, place uint64) (frame, error) {
	b := make([]byte, frameHead)
	readLap(r, b, place)
	h, ok := decodeHead(b)
	if !ok || h.place < place || h.place%journalLap != place%journalLap {
		return frame{}, fmt.Errorf("%w: the journal has no frame at %d", ErrDamaged, place)
	}
	b = make([]byte, frameHead+int(h.size))
	readLap(r, b, place)
	records, err := decodeFrame(s, h, b)
	if err == nil && len(records) == 0 {
		err = fmt.Errorf("%w: the journal has an empty frame at %d", ErrDamaged, place)
	}
	return frame{h, records}, err
}

// readLap reads what is at a place, over the lap's end, and returns how much of
// it could be read. The rest stays zero.
func readLap(r io.ReaderAt, b []byte, place uint64) int {
	at := place % journalLap
	first := min(uint64(len(b)), journalLap-at)
	n, _ := r.ReadAt(b[:first], int64(blockSize+at))
	if rest := b[first:]; len(rest) > 0 {
		more, _ := r.ReadAt(rest, blockSize)
		n += more
	}
	return n
}

// readAheadLap reads a journal in pieces, as the heads of all its blocks are
// looked at.
type readAheadLap struct {
	r     io.ReaderAt
	piece []byte
	at    int64 // of piece
}

func (a *readAheadLap) ReadAt(b []byte, at int64) (int, error) {
	if len(b) > frameHead {
		return a.r.ReadAt(b, at)
	}
	if at < a.at || at+int64(len(b)) > a.at+int64(len(a.piece)) {
		const size = 32 << 10
		if a.piece == nil {
			a.piece = make([]byte, size)
		}
		n, _ := a.r.ReadAt(a.piece[:size], at)
		a.piece, a.at = a.piece[:n], at
	}
	return copy(b, a.piece[min(at-a.at, int64(len(a.piece))):]), nil
}

// openJournal opens the journal that the bbolt file names, if it names one, and
// takes up what that file lacks. It writes nothing, but for a damaged label.
func (l *Ledger) openJournal() error {
	var p position
	named := false
	err := l.look(func(s snapshot) (err error) {
		p, named, err = s.position()
		return err
	})
	if err != nil || !named {
		return err // a journal without a name is put aside when one is made
	}
	f, err := os.OpenFile(l.path+journalSuffix, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		l.logger.Warn("the ledger's journal is missing: unless the node was stopped in order, its last entries are, too; catch-up will fetch them", "path", l.path)
		l.skipCursors()
		return nil
	}
	if err != nil {
		return err
	}
	label, err := readLabel(f)
	if err == nil && label != p.secret {
		l.logger.Warn("the ledger's journal is that of another ledger, and not used", "path", l.path)
		l.skipCursors()
		return f.Close()
	}
	l.journal = &journal{file: syncedFile{f, l.noSync}, secret: p.secret}
	found := recoverRecords(f, p)
	if info, stat := f.Stat(); err != nil || stat != nil || info.Size() < blockSize+journalLap {
		_, again := f.WriteAt(p.secret.label(), 0)
		l.logger.Warn("the ledger's journal does not begin, or not end, as it should", "path", l.path, "error", errors.Join(err, stat, again))
		found.torn = true
	}
	return l.replay(p, found)
}

// skipCursors leaves out the cursors that entries may have had which are lost.
func (l *Ledger) skipCursors() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.direct = true
	l.totals.next += cursorJump
}

// replay takes up what was found in the journal. Where that is not just what
// the bbolt file lacks, in order, the journal is written to again only when
// that file has it.
func (l *Ledger) replay(p position, found recovered) error {
	l.mu.Lock()
	next := l.totals.next
	l.mu.Unlock()
	jump := found.lost || found.torn
	if next != p.cursor || jump {
		var err error
		if found.records, err = l.renumber(found.records, next); err != nil {
			return err
		}
		l.setDirect()
		p.place = found.end
	}
	l.mu.Lock()
	l.journal.head, l.journal.tail = found.end, p.place
	if found.lost {
		l.damaged++
	}
	l.mu.Unlock()
	l.hold(found.records, found.end)
	if jump {
		l.skipCursors()
	}
	if found.lost {
		l.logger.Error("the ledger's journal is damaged, or the ledger an older copy: some of its last entries are lost; catch-up will fetch them", "path", l.path, "kept", len(found.records))
	}
	return nil
}

// renumber leaves out the records that the bbolt file has, and gives those
// whose cursors it has given to others new ones, from next on.
func (l *Ledger) renumber(records []Record, next uint64) (kept []Record, err error) {
	err = l.look(func(s snapshot) error {
		for _, r := range records {
			if _, held := s.lookup(r.Entry.Key()); held {
				continue
			}
			r.Cursor = max(r.Cursor, next)
			next = r.Cursor + 1
			kept = append(kept, r)
		}
		return nil
	})
	return kept, err
}

// makeJournal makes a new journal. What has its name is put aside, unless it is
// empty. Without room for one, or what else it takes, the ledger does without.
func (l *Ledger) makeJournal() {
	now := time.Now()
	if now.Before(l.retry) {
		return
	}
	l.retry = now.Add(retryAfter)
	path := l.path + journalSuffix
	aside, err := keepJournal(path, now)
	if aside != "" {
		l.logger.Warn("put aside a journal that is not the ledger's", "path", aside)
	}
	var j *journal
	if err == nil {
		j, err = createJournal(path, l.noSync)
	}
	if err != nil {
		l.logger.Warn("making the ledger's journal; appending is slower without", "error", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journal, l.direct = j, true
}

// keepJournal puts the file at path aside, unless there is none, or it is a
// journal without a frame.
func keepJournal(path string, now time.Time) (aside string, err error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if s, err := readLabel(f); err == nil && len(framesFrom(f, s, 0)) == 0 {
		return "", nil
	}
	return putAside(path, now)
}
