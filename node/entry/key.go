package entry

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// ID identifies an entry: the SHA-256 of the bytes that its author signed.
type ID [32]byte

// String returns the id as 64 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads an id as [ID.String] writes it.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("an entry's id has %d hexadecimal digits, not %d", 2*len(id), len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("parsing an entry's id: %w", err)
	}
	return id, nil
}

// KeySize is the length of an encoded [Key] in bytes.
const KeySize = 8 + len(ID{})

// Key is an entry's place in the order that all ledgers share: by time, then
// by id. The zero Key comes before every entry.
type Key struct {
	// Time is the entry's time in Unix milliseconds, never negative.
	Time int64
	// ID is the entry's id.
	ID ID
}

// LastKey comes after every entry: no entry's time reaches it.
func LastKey() Key { return Key{Time: 1<<63 - 1} }

// Compare orders keys by time, then by id, as cmp.Compare does.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Time, other.Time), bytes.Compare(k.ID[:], other.ID[:]))
}

// Append appends the key's encoding to b: the time as 8 bytes, big-endian,
// then the id, so that encoded keys sort as keys do.
func (k Key) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(k.Time))
	return append(b, k.ID[:]...)
}

// DecodeKey reads a key as [Key.Append] writes it.
func DecodeKey(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("%w: a key of %d bytes, not %d", ErrInvalid, len(b), KeySize)
	}
	k := Key{Time: int64(binary.BigEndian.Uint64(b)), ID: ID(b[8:])}
	if k.Time < 0 {
		return Key{}, fmt.Errorf("%w: a key before 1970", ErrInvalid)
	}
	return k, nil
}
