package ledger

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"p2ping/node/entry"
)

func testRecord(tb testing.TB) Record {
	tb.Helper()
	return Record{
		Cursor:     7,
		ReceivedAt: time.UnixMicro(1_700_000_000_123_456).UTC(),
		Via:        CatchUp,
		Entry:      fake(tb, 1, 1_700_000_000_000, "hello"),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	want := testRecord(t)
	got, err := decodeRecord(want.Cursor, appendRecord(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	if got.Cursor != want.Cursor || !got.ReceivedAt.Equal(want.ReceivedAt) || got.Via != want.Via ||
		got.Entry.ID != want.Entry.ID || !bytes.Equal(got.Entry.Raw, want.Entry.Raw) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Every single flipped bit is noticed, the signature's and the header's too.
func TestRecordFlippedBits(t *testing.T) {
	r := testRecord(t)
	stored := appendRecord(nil, r)
	for bit := range 8 * len(stored) {
		b := bytes.Clone(stored)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeRecord(r.Cursor, b); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit %d flipped: got %v", bit, err)
		}
	}
	if _, err := decodeRecord(r.Cursor+1, stored); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another cursor: got %v", err)
	}
}

func TestRowFlippedBits(t *testing.T) {
	r := testRecord(t)
	key := r.Entry.Key().Append(nil)
	stored := rowOf(r).append(nil, key)
	k, at, err := decodeRow(key, stored)
	if err != nil || k != r.Entry.Key() || at != rowOf(r) {
		t.Fatalf("got %v %+v %v", k, at, err)
	}
	for bit := range 8 * (len(key) + len(stored)) {
		b := append(bytes.Clone(key), stored...)
		b[bit/8] ^= 1 << (bit % 8)
		if _, _, err := decodeRow(b[:len(key)], b[len(key):]); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit %d flipped: got %v", bit, err)
		}
	}
}

func TestTotalsFlippedBits(t *testing.T) {
	want := totals{floor: 1, next: 2, entries: 3, pings: 4, bytes: 5}
	stored := want.encode()
	if got, err := decodeTotals(stored); err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	for bit := range 8 * len(stored) {
		b := bytes.Clone(stored)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeTotals(b); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit %d flipped: got %v", bit, err)
		}
	}
}

func TestViaStrings(t *testing.T) {
	for via, want := range map[Via]string{Own: "own", Gossip: "gossip", CatchUp: "catch-up", Import: "import", 9: "via(9)"} {
		if via.String() != want {
			t.Errorf("%d: got %s, want %s", via, via, want)
		}
	}
}

// FuzzRecord holds that the decoder takes only what encodes to the same again,
// and says ErrDamaged to all else.
func FuzzRecord(f *testing.F) {
	f.Add(uint64(7), appendRecord(nil, testRecord(f)))
	f.Add(uint64(0), []byte{})
	f.Add(uint64(1), bytes.Repeat([]byte{recordVersion}, recordHeader+1))
	f.Fuzz(func(t *testing.T, cursor uint64, b []byte) {
		r, err := decodeRecord(cursor, b)
		switch {
		case err != nil && !errors.Is(err, ErrDamaged):
			t.Errorf("got %v", err)
		case err == nil && r.Entry.Time < 0:
			t.Errorf("got an entry of the time %d", r.Entry.Time)
		case err == nil && len(r.Entry.Raw) == len(b)-recordHeader && !bytes.Equal(appendRecord(nil, r), b):
			t.Error("it encodes to something else")
		}
		// What is right but for the checksum gets past that as well.
		if len(b) > recordHeader {
			sum := recordSum(cursor, b[:recordHeader-4], b[recordHeader:])
			b[recordHeader-4], b[recordHeader-3], b[recordHeader-2], b[recordHeader-1] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
			if _, err := decodeRecord(cursor, b); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("with its checksum: got %v", err)
			}
		}
	})
}

// FuzzRow holds the same of index rows.
func FuzzRow(f *testing.F) {
	r := testRecord(f)
	key := r.Entry.Key().Append(nil)
	f.Add(key, rowOf(r).append(nil, key))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		k, at, err := decodeRow(key, b)
		switch {
		case err != nil && !errors.Is(err, ErrDamaged):
			t.Errorf("got %v", err)
		case err == nil && (!bytes.Equal(k.Append(nil), key) || !bytes.Equal(at.append(nil, key), b)):
			t.Error("it encodes to something else")
		}
	})
}

func TestAfterKey(t *testing.T) {
	k := entry.Key{Time: 5}
	if got := after(k); got.Compare(k) <= 0 || got.ID[31] != 1 {
		t.Errorf("got %v", got)
	}
	for i := range k.ID {
		k.ID[i] = 0xff
	}
	if got := after(k); got != (entry.Key{Time: 6}) {
		t.Errorf("after the last id: got %v", got)
	}
}
