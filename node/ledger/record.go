package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"p2ping/node/entry"
)

// Via says by which way an entry came to this node.
type Via uint8

// The ways. Their numbers are stored.
const (
	Own     Via = iota + 1 // published here
	Gossip                 // delivered by GossipSub
	CatchUp                // fetched from a peer
	Import                 // read from a file
)

// String returns "own", "gossip", "catch-up" or "import".
func (v Via) String() string {
	switch v {
	case Own:
		return "own"
	case Gossip:
		return "gossip"
	case CatchUp:
		return "catch-up"
	case Import:
		return "import"
	}
	return fmt.Sprintf("via(%d)", uint8(v))
}

// Record is an entry as this node stored it.
type Record struct {
	// Cursor is its place in this node's order of arrival, from 1.
	Cursor uint64
	// ReceivedAt is when it came, by this node's clock, in whole microseconds.
	ReceivedAt time.Time
	// Via is the way by which it came.
	Via Via
	// Entry is shared: read only.
	Entry *entry.Entry
}

// A stored record is
//
//	version (1) via (1) received at, µs (8) checksum (4) entry.Raw
//
// under its cursor (8). The checksum is CRC-32C over the cursor, what precedes
// the checksum, and what follows it. It finds every flipped bit; the signed
// part is covered by the entry's id as well, which is computed and compared on
// each read. All numbers are big-endian.
const (
	recordVersion = 1
	recordHeader  = 1 + 1 + 8 + 4
	maxRecord     = recordHeader + entry.MaxRaw
	cursorSize    = 8
)

// castagnoli returns the CRC-32C table, which crc32 makes once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func appendCursor(b []byte, cursor uint64) []byte {
	return binary.BigEndian.AppendUint64(b, cursor)
}

func decodeCursor(b []byte) (uint64, error) {
	if len(b) != cursorSize {
		return 0, fmt.Errorf("%w: a cursor of %d bytes", ErrDamaged, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// appendRecord appends r as it is stored.
func appendRecord(b []byte, r Record) []byte {
	start := len(b)
	b = append(b, recordVersion, byte(r.Via))
	b = binary.BigEndian.AppendUint64(b, uint64(r.ReceivedAt.UnixMicro()))
	b = binary.BigEndian.AppendUint32(b, recordSum(r.Cursor, b[start:], r.Entry.Raw))
	return append(b, r.Entry.Raw...)
}

// decodeRecord reads what appendRecord wrote under a cursor. It copies what it
// keeps of b. Its errors wrap [ErrDamaged].
func decodeRecord(cursor uint64, b []byte) (Record, error) {
	if len(b) <= recordHeader || len(b) > maxRecord {
		return Record{}, fmt.Errorf("%w: record %d has %d bytes", ErrDamaged, cursor, len(b))
	}
	head, sum, raw := b[:recordHeader-4], b[recordHeader-4:recordHeader], b[recordHeader:]
	if binary.BigEndian.Uint32(sum) != recordSum(cursor, head, raw) {
		return Record{}, fmt.Errorf("%w: record %d does not match its checksum", ErrDamaged, cursor)
	}
	if head[0] != recordVersion {
		return Record{}, fmt.Errorf("%w: record %d is of version %d, not %d", ErrDamaged, cursor, head[0], recordVersion)
	}
	e, err := entry.ParseTrusted(bytes.Clone(raw))
	if err != nil {
		return Record{}, fmt.Errorf("%w: record %d: %w", ErrDamaged, cursor, err)
	}
	return Record{
		Cursor:     cursor,
		ReceivedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(head[2:]))).UTC(),
		Via:        Via(head[1]),
		Entry:      e,
	}, nil
}

func recordSum(cursor uint64, head, raw []byte) uint32 {
	var b [cursorSize]byte
	table := castagnoli()
	sum := crc32.Update(0, table, appendCursor(b[:0], cursor))
	sum = crc32.Update(sum, table, head)
	return crc32.Update(sum, table, raw)
}

// row is what the index says of an entry, so that counting, comparing and
// pruning never read the entries themselves.
type row struct {
	cursor uint64
	size   uint32 // of entry.Raw, in bytes
	pings  uint16
}

// An index row is
//
//	cursor (8) size (4) pings (2) checksum (4)
//
// under the entry's key, the checksum CRC-32C over the key and what precedes.
const rowSize = 8 + 4 + 2 + 4

// entryOverhead is what an entry takes on disk beside its encoding: the
// record's header and cursor, the index row and key, bbolt's 16 bytes for each
// of the two, and the pages' slack. Measured at a million entries.
const entryOverhead = 144

func rowOf(r Record) row {
	return row{cursor: r.Cursor, size: uint32(len(r.Entry.Raw)), pings: uint16(len(r.Entry.Pings))}
}

// bytes is what the entry adds to State.Bytes.
func (r row) bytes() int64 { return int64(r.size) + entryOverhead }

func (r row) append(b, key []byte) []byte {
	start := len(b)
	b = appendCursor(b, r.cursor)
	b = binary.BigEndian.AppendUint32(b, r.size)
	b = binary.BigEndian.AppendUint16(b, r.pings)
	return binary.BigEndian.AppendUint32(b, rowSum(key, b[start:]))
}

// decodeRow reads what append wrote under a key. Its errors wrap [ErrDamaged].
func decodeRow(key, b []byte) (entry.Key, row, error) {
	if len(key) != entry.KeySize || len(b) != rowSize {
		return entry.Key{}, row{}, fmt.Errorf("%w: an index row of %d and %d bytes", ErrDamaged, len(key), len(b))
	}
	if binary.BigEndian.Uint32(b[rowSize-4:]) != rowSum(key, b[:rowSize-4]) {
		return entry.Key{}, row{}, fmt.Errorf("%w: an index row does not match its checksum", ErrDamaged)
	}
	k, err := entry.DecodeKey(key)
	if err != nil {
		return entry.Key{}, row{}, fmt.Errorf("%w: an index row: %w", ErrDamaged, err)
	}
	return k, parseRow(b), nil
}

// parseRow reads a row of the right length, unchecked.
func parseRow(b []byte) row {
	return row{
		cursor: binary.BigEndian.Uint64(b),
		size:   binary.BigEndian.Uint32(b[8:]),
		pings:  binary.BigEndian.Uint16(b[12:]),
	}
}

func rowSum(key, head []byte) uint32 {
	table := castagnoli()
	return crc32.Update(crc32.Update(0, table, key), table, head)
}
