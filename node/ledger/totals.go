package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

// totals is what a ledger knows of itself. It is written in every transaction
// that changes it, so that each snapshot of the file has its own.
type totals struct {
	floor   int64  // Unix ms
	next    uint64 // the next cursor, from 1; never sinks
	entries int64  // from the floor on, as are pings and bytes
	pings   int64
	bytes   int64
}

// Totals are stored as
//
//	format version (1) floor (8) next (8) entries (8) pings (8) bytes (8) CRC-32C (4)
const (
	formatVersion = 1
	totalsSize    = 1 + 5*8 + 4
)

func (t *totals) add(r row) {
	t.entries++
	t.pings += int64(r.pings)
	t.bytes += r.bytes()
}

func (t *totals) remove(r row) {
	t.entries--
	t.pings -= int64(r.pings)
	t.bytes -= r.bytes()
}

// forget removes an index row that is damaged, as far as it can be understood.
// Scrub counts anew.
func (t *totals) forget(encoded []byte) {
	var r row
	if len(encoded) == rowSize {
		r = parseRow(encoded)
	}
	if r.size > entry.MaxRaw || int(r.pings) > entry.MaxPings {
		r = row{}
	}
	t.remove(r)
}

func (t totals) encode() []byte {
	b := append(make([]byte, 0, totalsSize), formatVersion)
	for _, v := range []uint64{uint64(t.floor), t.next, uint64(t.entries), uint64(t.pings), uint64(t.bytes)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

func decodeTotals(b []byte) (totals, error) {
	if len(b) != totalsSize {
		return totals{}, fmt.Errorf("%w: its totals have %d bytes, not %d", ErrDamaged, len(b), totalsSize)
	}
	if b[0] != formatVersion {
		return totals{}, fmt.Errorf("%w: its format is version %d; this program knows version %d", ErrDamaged, b[0], formatVersion)
	}
	if binary.BigEndian.Uint32(b[totalsSize-4:]) != crc32.Checksum(b[:totalsSize-4], castagnoli()) {
		return totals{}, fmt.Errorf("%w: its totals do not match their checksum", ErrDamaged)
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	return totals{
		floor:   int64(at(0)),
		next:    at(1),
		entries: int64(at(2)),
		pings:   int64(at(3)),
		bytes:   int64(at(4)),
	}, nil
}

func loadTotals(tx *bbolt.Tx) (totals, error) {
	return decodeTotals(tx.Bucket([]byte(metaBucket)).Get([]byte(totalsKey)))
}

func storeTotals(tx *bbolt.Tx, t totals) error {
	return tx.Bucket([]byte(metaBucket)).Put([]byte(totalsKey), t.encode())
}
