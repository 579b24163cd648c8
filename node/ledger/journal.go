package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"
)

// journalSuffix makes the journal's name of the bbolt file's.
const journalSuffix = ".journal"

// journalLap is how much the journal holds, beside its first block: a thousand
// frames of one short ping, or four of the largest. Twice that many records are
// in memory, and in one transaction, at the worst.
const journalLap = 4<<20 - blockSize

// journalFile is the journal's *os.File, but in tests.
type journalFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes what was written durable.
	Sync() error
}

// journal is a file of constant size, in which frames follow one another in
// laps. It has been written once when it is made, so that the file system keeps
// no books of what is written to it afterwards, and making a frame durable
// takes one write and one wait for the disk.
//
// Its first block says what it is; the position in the bbolt file says where
// the first frame is that the bbolt file lacks.
type journal struct {
	file   journalFile
	secret secret
	// buffer is where frames are made. It belongs to the leader of the queue.
	buffer []byte
	// head is the place of the next frame, and tail that of the first that is
	// needed. Both are guarded by Ledger.mu; only the leader moves head.
	head, tail uint64
}

// room tells whether a frame of n bytes fits. The caller holds Ledger.mu.
func (j *journal) room(n int) bool { return j.head+blocks(n) <= j.tail+journalLap }

// write makes a frame of records durable at a place, and returns the place that
// follows.
func (j *journal) write(place uint64, records []Record) (uint64, error) {
	const keep = 64 << 10 // a larger buffer is not worth its memory
	j.buffer = appendFrame(j.buffer[:0], j.secret, place, records)
	b := j.buffer
	if cap(b) > keep {
		j.buffer = nil
	}
	at := place % journalLap
	first := min(uint64(len(b)), journalLap-at)
	if _, err := j.file.WriteAt(b[:first], int64(blockSize+at)); err != nil {
		return 0, err
	}
	if rest := b[first:]; len(rest) > 0 {
		if _, err := j.file.WriteAt(rest, blockSize); err != nil {
			return 0, err
		}
	}
	return place + uint64(len(b)), j.file.Sync()
}

// The journal's first block is
//
//	format (16) secret (16) checksum (4)
const (
	journalFormat = "p2ping journal 1"
	labelSize     = len(journalFormat) + len(secret{}) + 4
)

func (s secret) label() []byte {
	b := append([]byte(journalFormat), s[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// readLabel reads a journal's first block.
func readLabel(r io.ReaderAt) (s secret, err error) {
	b := make([]byte, labelSize)
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	copy(s[:], b[len(journalFormat):])
	if string(b) != string(s.label()) {
		return s, fmt.Errorf("%w: the journal does not begin as one", ErrDamaged)
	}
	return s, nil
}

// createJournal makes an empty journal at path, where nothing may be that is
// worth keeping. The caller has the ledger locked.
func createJournal(path string, noSync bool) (*journal, error) {
	f, err := freshFile(path)
	if err != nil {
		return nil, err
	}
	j := &journal{file: syncedFile{f, noSync}}
	rand.Read(j.secret[:])
	err = fillJournal(f, j.secret, noSync)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil && !noSync {
		err = syncDir(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return j, nil
}

// fillJournal writes a whole empty journal. Without sync it leaves a hole.
func fillJournal(f *os.File, s secret, noSync bool) error {
	if _, err := f.Write(s.label()); err != nil {
		return err
	}
	if noSync {
		return f.Truncate(blockSize + journalLap)
	}
	zeros := make([]byte, 64<<10)
	for at, end := labelSize, blockSize+journalLap; at < end; {
		n, err := f.Write(zeros[:min(len(zeros), end-at)])
		if err != nil {
			return err
		}
		at += n
	}
	return f.Sync()
}

// syncedFile is a file whose Sync waits for its data, or for nothing.
type syncedFile struct {
	*os.File
	noSync bool
}

func (f syncedFile) Sync() error {
	if f.noSync {
		return nil
	}
	return syncData(f.File)
}

// position says, in the bbolt file, where the journal begins that the bbolt
// file lacks. It is written in the transaction that takes up what was before.
type position struct {
	secret secret // of the journal
	place  uint64
	cursor uint64 // of the frame there, if there is one
}

// A position is stored as
//
//	version (1) secret (16) place (8) cursor (8) CRC-32C (4)
//
// under journalKey in the meta bucket.
const (
	journalKey      = "journal"
	positionVersion = 1
	positionSize    = 1 + len(secret{}) + 8 + 8 + 4
)

func (p position) encode() []byte {
	b := append(append(make([]byte, 0, positionSize), positionVersion), p.secret[:]...)
	b = binary.BigEndian.AppendUint64(b, p.place)
	b = binary.BigEndian.AppendUint64(b, p.cursor)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// decodePosition reads a position. No bytes are none.
func decodePosition(b []byte) (p position, ok bool, err error) {
	switch {
	case b == nil:
		return position{}, false, nil
	case len(b) != positionSize || b[0] != positionVersion,
		binary.BigEndian.Uint32(b[positionSize-4:]) != crc32.Checksum(b[:positionSize-4], castagnoli()):
		return position{}, false, fmt.Errorf("%w: its journal's position cannot be read", ErrDamaged)
	}
	copy(p.secret[:], b[1:])
	p.place = binary.BigEndian.Uint64(b[17:])
	p.cursor = binary.BigEndian.Uint64(b[25:])
	if p.place%blockSize != 0 || p.place > 1<<62 {
		return position{}, false, fmt.Errorf("%w: its journal's position makes no sense", ErrDamaged)
	}
	return p, true, nil
}

// retryAfter is how long the ledger does without a journal that could not be
// made before it tries again.
const retryAfter = time.Minute
