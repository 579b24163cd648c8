package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// records makes records of n entries, with cursors from first on.
func records(tb testing.TB, first uint64, n, text int) []Record {
	tb.Helper()
	var all []Record
	for i := range uint64(n) {
		e := fake(tb, first+i, int64(1000+first+i), strings.Repeat("x", text))
		all = append(all, Record{Cursor: first + i, ReceivedAt: time.UnixMicro(int64(i)).UTC(), Via: Gossip, Entry: e})
	}
	return all
}

func equalRecords(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(a, b Record) bool {
		return a.Cursor == b.Cursor && a.ReceivedAt.Equal(b.ReceivedAt) && a.Via == b.Via && bytes.Equal(a.Entry.Raw, b.Entry.Raw)
	})
}

// decode is decodeHead and decodeFrame.
func decode(s secret, place uint64, b []byte) (uint64, []Record, error) {
	h, ok := decodeHead(b)
	if !ok || h.place != place {
		return 0, nil, ErrDamaged
	}
	all, err := decodeFrame(s, h, b)
	return h.cursor, all, err
}

func TestFrame(t *testing.T) {
	s := secret{1, 2, 3}
	for _, tt := range []struct{ n, text, blocks int }{{1, 1, 1}, {1, 3700, 1}, {1, 4000, 2}, {3, 4000, 4}, {200, 100, 13}} {
		want := records(t, 7, tt.n, tt.text)
		b := appendFrame(nil, s, 3*blockSize, want)
		if len(b) != tt.blocks*blockSize {
			t.Errorf("%d of %d bytes take %d bytes", tt.n, tt.text, len(b))
		}
		cursor, got, err := decode(s, 3*blockSize, b)
		if err != nil || cursor != 7 || !equalRecords(got, want) {
			t.Errorf("%d of %d bytes: got %d of %d, %v", tt.n, tt.text, len(got), cursor, err)
		}
		if h, ok := decodeHead(b); !ok || h.length() != uint64(len(b)) {
			t.Errorf("%d of %d bytes: the head says %+v", tt.n, tt.text, h)
		}
		for name, other := range map[string]func() error{
			"another secret": func() error { _, _, err := decode(secret{1, 2, 4}, 3*blockSize, b); return err },
			"another place":  func() error { _, _, err := decode(s, 4*blockSize, b); return err },
			"cut":            func() error { _, _, err := decode(s, 3*blockSize, b[:len(b)-blockSize]); return err },
		} {
			if err := other(); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d of %d bytes, %s: got %v", tt.n, tt.text, name, err)
			}
		}
	}
}

// No flipped bit goes unnoticed.
func TestFrameFlips(t *testing.T) {
	s := secret{9}
	b := appendFrame(nil, s, 0, records(t, 1, 2, 20))
	h, _ := decodeHead(b)
	for at := range frameHead + int(h.size) {
		for bit := range 8 {
			b[at] ^= 1 << bit
			if _, _, err := decode(s, 0, b); err == nil {
				t.Fatalf("bit %d of byte %d", bit, at)
			}
			b[at] ^= 1 << bit
		}
	}
}

// FuzzFrame decodes frames: bytes as they come, and, so that the records are
// got at, behind a head that is right.
func FuzzFrame(f *testing.F) {
	s := secret{5}
	for _, n := range []int{1, 3} {
		b := appendFrame(nil, s, 0, records(f, 1, n, 10))
		f.Add(b, false)
		f.Add(b[frameHead:], true)
	}
	f.Add([]byte{}, true)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, b []byte, headed bool) {
		if headed {
			if len(b) > maxFrame-frameHead {
				return
			}
			frame := binary.BigEndian.AppendUint32(nil, frameMagic)
			frame = binary.BigEndian.AppendUint32(frame, uint32(len(b)))
			frame = binary.BigEndian.AppendUint64(frame, 0)
			frame = binary.BigEndian.AppendUint64(frame, 1)
			frame = append(append(frame, 0, 0, 0, 0), b...)
			binary.BigEndian.PutUint32(frame[24:], s.sum(frame))
			b = frame
		}
		h, ok := decodeHead(b)
		if !ok {
			return
		}
		all, err := decodeFrame(s, h, b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if len(all) == 0 {
			return
		}
		again := appendFrame(nil, s, h.place, all)
		if !bytes.Equal(again[:frameHead+int(h.size)], b[:frameHead+int(h.size)]) {
			t.Fatal("it is encoded otherwise")
		}
	})
}
