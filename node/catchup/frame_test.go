package catchup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

func TestFrames(t *testing.T) {
	h := hello{topic: topicTag("x"), clock: epoch, floor: maxTime, takes: true, count: 1_000_000, fingerprint: ledger.Digest{1, 31: 2}}
	b := h.encode()
	if got, err := decodeHello(b); err != nil || got != h {
		t.Errorf("hello: %+v, %v", got, err)
	}
	for _, w := range []welcome{{clock: 0, floor: 0}, {clock: maxTime, floor: 5, takes: true}, {clock: epoch + 7, equal: true}} {
		if got, err := decodeWelcome(w.encode(h), h); err != nil || got != w {
			t.Errorf("welcome: %+v, %v, want %+v", got, err, w)
		}
	}
	for _, e := range []end{{}, {left: true}, {later: true}, {left: true, later: true}} {
		if got, err := decodeEnd(e.encode()); err != nil || got != e {
			t.Errorf("end: %+v, %v, want %+v", got, err, e)
		}
	}
	if got, err := decodeBusy(busy{seconds: maxBusy}.encode()); err != nil || got.seconds != maxBusy {
		t.Errorf("busy: %+v, %v", got, err)
	}
}

// TestEqualCost adds up the frames of a session between equals at their
// longest: under 100 bytes.
func TestEqualCost(t *testing.T) {
	h := hello{clock: maxTime, floor: maxTime, takes: true, count: min(maxCount, math.MaxInt)}
	w := welcome{takes: true, equal: true}
	n := len(appendFrame(nil, kindHello, h.encode())) + len(appendFrame(nil, kindWelcome, w.encode(h)))
	if n >= 100 {
		t.Errorf("%d bytes", n)
	}
}

func TestBadFrames(t *testing.T) {
	h := hello{clock: epoch}.encode()
	shift := func(d int64) []byte { return binary.AppendVarint(nil, d) }
	tests := []struct {
		name   string
		decode func([]byte) error
		in     []byte
	}{
		{"an empty hello", helloError, nil},
		{"a hello cut short", helloError, h[:len(h)-1]},
		{"a hello that goes on", helloError, append(slices.Clone(h), 0)},
		{"a hello after the year 9999", helloError, binary.AppendUvarint(make([]byte, 4), maxTime+1)},
		{"a hello of unknown flags", helloError, append(binary.AppendUvarint(binary.AppendUvarint(make([]byte, 4), 1), 1), 0x80)},
		{"a welcome before 1970", welcomeError, slices.Concat(shift(-epoch-1), shift(0), []byte{0})},
		{"a welcome after 9999", welcomeError, slices.Concat(shift(maxTime), shift(0), []byte{0})},
		{"a welcome that overflows", welcomeError, slices.Concat(shift(-1<<63), shift(0), []byte{0})},
		{"a varint without end", welcomeError, bytes.Repeat([]byte{0xff}, 12)},
		{"busy for too long", busyError, binary.AppendUvarint(nil, maxBusy+1)},
		{"an end of unknown flags", endError, []byte{4}},
		{"an empty end", endError, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.decode(tt.in); !errors.Is(err, errProtocol) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func helloError(b []byte) error { _, err := decodeHello(b); return err }
func welcomeError(b []byte) error {
	_, err := decodeWelcome(b, hello{clock: epoch})
	return err
}
func busyError(b []byte) error { _, err := decodeBusy(b); return err }
func endError(b []byte) error  { _, err := decodeEnd(b); return err }

func TestReadFrame(t *testing.T) {
	buf := make([]byte, maxFrame)
	largest := make([]byte, maxFrame)
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"no length", []byte{0x80}, io.ErrUnexpectedEOF},
		{"no kind", []byte{1}, io.ErrUnexpectedEOF},
		{"no payload", []byte{2, 1}, io.ErrUnexpectedEOF},
		{"of length 0", []byte{0}, errProtocol},
		{"the largest", appendFrame(nil, kindEntries, largest), nil},
		{"too large", appendFrame(nil, kindEntries, append(largest, 0)), errProtocol},
		{"far too large", binary.AppendUvarint(nil, 1<<63), errProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, payload, err := readFrame(bufio.NewReader(bytes.NewReader(tt.in)), buf)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err == nil && (k != kindEntries || len(payload) != maxFrame) {
				t.Errorf("kind %d, %d bytes", k, len(payload))
			}
		})
	}
}

func TestBetween(t *testing.T) {
	id := func(s string) (id entry.ID) { copy(id[:], s); return id }
	tests := []struct {
		name             string
		last, next, want entry.Key
	}{
		{"of different times", entry.Key{Time: 1, ID: id("zz")}, entry.Key{Time: 5, ID: id("aa")}, entry.Key{Time: 5}},
		{"of one time", entry.Key{Time: 5, ID: id("abcd")}, entry.Key{Time: 5, ID: id("abxy")}, entry.Key{Time: 5, ID: id("abx")}},
		{"one bit", entry.Key{Time: 5}, entry.Key{Time: 5, ID: entry.ID{31: 1}}, entry.Key{Time: 5, ID: entry.ID{31: 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := between(tt.last, tt.next)
			if got != tt.want || got.Compare(tt.last) <= 0 || got.Compare(tt.next) > 0 {
				t.Errorf("%v", got)
			}
			d := &decoder{b: appendBound(nil, got, tt.last.Time)}
			if back := decodeBound(d, tt.last.Time); back != got || d.end("") != nil {
				t.Errorf("%v comes back as %v", got, back)
			}
		})
	}
}

func TestItems(t *testing.T) {
	lo, hi := keyAt("a", 0), keyAt("a", 100)
	asked := []question{{lo: lo, hi: hi}, {lo: hi, hi: entry.LastKey()}, {lo: lo, hi: hi, list: true, keys: make([]entry.Key, 9)}}
	items := []item{
		{kind: itemSplit, question: 0, parts: []part{
			{from: lo, count: 3, fingerprint: ledger.Digest{1}},
			{from: entry.Key{Time: lo.Time + 1}, count: 0, fingerprint: emptyDigest()},
			{from: entry.Key{Time: lo.Time + 1, ID: entry.ID{0, 7}}, count: 1 << 20, fingerprint: ledger.Digest{2}},
		}},
		{kind: itemList, question: 1, shorts: []short{{1}, {2}}},
		{kind: itemWant, question: 2, wanted: []byte{3, 1}},
	}
	var b []byte
	last := -1
	for _, it := range items {
		b = appendItem(b, it, last, asked[it.question].lo.Time)
		last = it.question
	}
	d := &decoder{b: b}
	last = -1
	for _, want := range items {
		got := decodeItem(d, last, asked)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v comes back as %+v", want, got)
		}
		last = got.question
	}
	if err := d.end("items"); err != nil {
		t.Error(err)
	}
}

func emptyDigest() ledger.Digest {
	_, d := newDigester().sum()
	return d
}

func TestBadItems(t *testing.T) {
	lo, hi := keyAt("a", 0), keyAt("a", 100)
	claimed := []question{{lo: lo, hi: hi, count: 50}}
	listed := []question{{lo: lo, hi: hi, list: true, keys: keysOf("a", 0, 9)}}
	split := func(froms ...entry.Key) item {
		it := item{kind: itemSplit, parts: []part{{count: 1}}}
		for _, k := range froms {
			it.parts = append(it.parts, part{from: k, count: 1})
		}
		return it
	}
	encode := func(items ...item) []byte {
		w := itemWriter{}
		for _, it := range items {
			w.add(it, lo.Time)
		}
		return w.take()[0]
	}
	mid := keyAt("a", 50)
	tests := []struct {
		name  string
		asked []question
		in    []byte
		want  string
	}{
		{"nothing", claimed, make([]byte, saltSize), "without ranges"},
		{"no salt", claimed, nil, "ends early"},
		{"no such question", claimed, encode(item{kind: itemList, question: 1}), "question 1 of 1"},
		{"one part", claimed, encode(split()), "one part"},
		{"no parts", claimed, encode(item{kind: itemSplit}), "without parts"},
		{"parts out of order", claimed, encode(split(mid, keyAt("a", 50))), "out of order"},
		{"a part that begins with the range", claimed, encode(split(lo)), "out of order"},
		{"a part beyond the range", claimed, encode(split(hi)), "out of order"},
		{"too many parts", claimed, encode(item{kind: itemSplit, parts: make([]part, maxParts+1)}), "not 0 to"},
		{"too many ids", claimed, encode(item{kind: itemList, shorts: make([]short, maxList+1)}), "not 0 to"},
		{"wants of a claim", claimed, encode(item{kind: itemWant, wanted: []byte{1}}), "not to the question"},
		{"a list to a list", listed, encode(item{kind: itemList}), "not to the question"},
		{"a split of a list", listed, encode(split(mid)), "not to the question"},
		{"too few wants", listed, encode(item{kind: itemWant, wanted: []byte{1}}), "wants for 9 ids"},
		{"too many wants", listed, encode(item{kind: itemWant, wanted: []byte{1, 1, 1}}), "wants for 9 ids"},
		{"an answer of no kind", claimed, append(make([]byte, saltSize), 3), "kind 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			talk := newTalk(newMemory(keysOf("a", 0, 50)...), salt{})
			talk.asked, talk.turns, talk.scanMax = tt.asked, 2, 1<<30
			if err := talk.hear(tt.in); !errors.Is(err, errProtocol) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
	t.Run("a question answered twice", func(t *testing.T) {
		talk := newTalk(newMemory(keysOf("a", 0, 50)...), salt{})
		talk.asked, talk.turns, talk.scanMax = claimed, 2, 1<<30
		all := encode(item{kind: itemList})
		if err := talk.hear(all); err != nil {
			t.Fatal(err)
		}
		if err := talk.hear(all); !errors.Is(err, errProtocol) {
			t.Errorf("error %v", err)
		}
	})
}
