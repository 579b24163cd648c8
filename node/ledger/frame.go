package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A frame is what one write puts into the journal: the records that one or more
// callers wait for, all or none of them.
//
//	magic (4) size of what follows the head (4) place (8) cursor (8) checksum (4)
//	for each record: its size (4) and itself, as the log has it
//
// The records have the cursors from the frame's on. The place counts the bytes
// of the journal from its beginning, over all laps, so that what an earlier lap
// left is never taken for new. The checksum is CRC-32C over the journal's
// secret and all but itself: as nobody else knows the secret, no text of a ping
// can pass for a frame. All numbers are big-endian.
const (
	frameMagic = 0x70326A31
	frameHead  = 4 + 4 + 8 + 8 + 4
	sizeSize   = 4
	// maxFrame bounds a frame. What is more at once is written to the bbolt
	// file right away: that costs it less than being written twice.
	maxFrame = 1 << 20
	// blockSize is what frames are padded to: file systems and disks write no
	// less at once, so a frame that is being written, and torn, takes nothing
	// with it that was written before.
	blockSize = 4096
)

// head is the head of a frame.
type head struct {
	magic  uint32
	size   uint32 // of what follows, in bytes
	place  uint64
	cursor uint64 // of the first record
	sum    uint32
}

// decodeHead reads a frame's head. It tells whether it is one, by itself.
func decodeHead(b []byte) (head, bool) {
	if len(b) < frameHead {
		return head{}, false
	}
	h := head{
		magic:  binary.BigEndian.Uint32(b),
		size:   binary.BigEndian.Uint32(b[4:]),
		place:  binary.BigEndian.Uint64(b[8:]),
		cursor: binary.BigEndian.Uint64(b[16:]),
		sum:    binary.BigEndian.Uint32(b[24:]),
	}
	return h, h.magic == frameMagic && h.size <= maxFrame-frameHead && h.cursor > 0 && h.cursor < 1<<62
}

// traces tells whether this may be what is left of a frame at a place, whose
// first record had a cursor: of the three things known of its head, two are
// there. Of what an earlier lap left, one is.
func (h head) traces(place, cursor uint64) bool {
	n := 0
	for _, same := range []bool{h.magic == frameMagic, h.place == place, h.cursor == cursor} {
		if same {
			n++
		}
	}
	return n >= 2
}

// length is what the frame takes of the journal.
func (h head) length() uint64 { return blocks(frameHead + int(h.size)) }

// blocks rounds a number of bytes up to whole blocks.
func blocks(n int) uint64 { return uint64(n+blockSize-1) / blockSize * blockSize }

// framed is what a record of n bytes of an entry adds to a frame.
func framed(n int) int { return sizeSize + recordHeader + n }

// appendFrame appends a frame of records, padded to whole blocks. Their cursors
// follow one another.
func appendFrame(b []byte, s secret, place uint64, records []Record) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, frameMagic)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, place)
	b = binary.BigEndian.AppendUint64(b, records[0].Cursor)
	b = append(b, 0, 0, 0, 0)
	for _, r := range records {
		b = binary.BigEndian.AppendUint32(b, uint32(recordHeader+len(r.Entry.Raw)))
		b = appendRecord(b, r)
	}
	frame := b[start:]
	binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-frameHead))
	binary.BigEndian.PutUint32(frame[24:], s.sum(frame))
	return append(b, make([]byte, blocks(len(frame))-uint64(len(frame)))...)
}

// decodeFrame reads the records of a frame, whose head is h. It copies what it
// keeps of b. Its errors wrap [ErrDamaged].
func decodeFrame(s secret, h head, b []byte) ([]Record, error) {
	if uint64(len(b)) < frameHead+uint64(h.size) {
		return nil, fmt.Errorf("%w: a frame of the journal is cut short", ErrDamaged)
	}
	if b = b[:frameHead+int(h.size)]; s.sum(b) != h.sum {
		return nil, fmt.Errorf("%w: a frame of the journal does not match its checksum", ErrDamaged)
	}
	var records []Record
	for b = b[frameHead:]; len(b) > 0; {
		if len(b) < sizeSize {
			return nil, fmt.Errorf("%w: a frame of the journal ends within a record", ErrDamaged)
		}
		size := uint64(binary.BigEndian.Uint32(b))
		if b = b[sizeSize:]; size > uint64(len(b)) {
			return nil, fmt.Errorf("%w: a frame of the journal ends within a record", ErrDamaged)
		}
		r, err := decodeRecord(h.cursor+uint64(len(records)), b[:size])
		if err != nil {
			return nil, err
		}
		records = append(records, r)
		b = b[size:]
	}
	return records, nil
}

// secret is what only a journal and its ledger know: at random, made with the
// journal.
type secret [16]byte

// sum is the checksum of a frame.
func (s secret) sum(frame []byte) uint32 {
	table := castagnoli()
	sum := crc32.Update(0, table, s[:])
	sum = crc32.Update(sum, table, frame[:frameHead-4])
	return crc32.Update(sum, table, frame[frameHead:])
}
