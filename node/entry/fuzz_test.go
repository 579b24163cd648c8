package entry

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzParse: no input crashes Parse, and what it accepts is within every bound
// and comes back the same from its own Raw.
func FuzzParse(f *testing.F) {
	for _, pings := range [][]Ping{{{"hello", testTime}}, {{"a", 0}, {"é", maxSentAt}}, many(MaxPings)} {
		e := sign(f, pings...)
		parts := split(f, e.Raw)
		f.Add(e.Raw)
		f.Add(e.Raw[:len(e.Raw)-1])
		f.Add(bytes.Join(parts[:4], nil))
		slices.Reverse(parts)
		f.Add(bytes.Join(parts, nil))
		key := protowire.AppendTag(bytes.Clone(e.Raw), messageKey, protowire.BytesType)
		f.Add(protowire.AppendString(key, string(e.Author[2:])))
		f.Add(append(bytes.Clone(e.Raw), 0x3b, 0x3c))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		trusted, err := ParseTrusted(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			if _, err := Parse(raw); err == nil {
				t.Fatal("Parse accepts what ParseTrusted does not")
			}
			return
		}
		checkEntry(t, trusted)
		again, err := ParseTrusted(trusted.Raw)
		if err != nil {
			t.Fatalf("its own encoding: %v", err)
		}
		same(t, again, trusted)
		if verified, err := Parse(raw); err == nil {
			same(t, verified, trusted)
		}
	})
}

// FuzzDecodeData: no input crashes DecodeData, what it accepts means the same to
// Google's protobuf, and can be encoded again with that meaning.
func FuzzDecodeData(f *testing.F) {
	for _, pings := range [][]Ping{{{"hello", testTime}}, {{"a", 0}, {"é", maxSentAt}}, many(MaxPings), many(MaxPings + 1), fullData(f)} {
		f.Add(encodeUnchecked(pings))
		f.Add(encodePlain(pings))
	}
	for _, s := range []string{
		"", "\x0a", "\x0a\x00", "\x0a\x05\x10\x07\x0a\x01x", "\x0a\x85\x00\x0a\x01x\x10\x07", "\x10\x01\x0a\x05\x0a\x01x\x10\x07",
		"\x13\x14", "\x0a\xff\xff\xff\xff\x0f", "\x0a\x0e\x0a\x01x\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x0a\x05\x0a\x01\xff\x10\x07",
		"\x0a\x05\x0a\x01x\x10\x07\x0a\x05\x0a\x01x\x18\x0f", "\x0a\x03\x0a\x01x", "\x0a\x07\x0a\x01x\x10\x07\x18\x00",
		"\x0a\x05\x0a\x01x\x10\x07\x0a\x0e\x0a\x01x\x18\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	} {
		f.Add([]byte(s))
	}
	protobuf := newReference(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		pings, err := DecodeData(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		want, err := protobuf.decode(data)
		if err != nil {
			t.Fatalf("protobuf: %v", err)
		}
		samePings(t, pings, want)
		again, err := EncodeData(pings)
		if err != nil {
			// A short time of a ping's own can be 8 bytes shorter than how
			// long it was after one in another century.
			if len(data)+8*len(pings) <= MaxData {
				t.Fatalf("encoding what was decoded: %v", err)
			}
			return
		}
		got, err := DecodeData(again)
		if err != nil {
			t.Fatal(err)
		}
		samePings(t, got, pings)
	})
}

// FuzzDecodeKey: a key has one encoding.
func FuzzDecodeKey(f *testing.F) {
	f.Add(Key{}.Append(nil))
	f.Add(LastKey().Append(nil))
	f.Add(Key{Time: testTime, ID: ID{1, 2, 3}}.Append(nil))
	f.Add(bytes.Repeat([]byte{0xff}, KeySize))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := DecodeKey(b)
		if err != nil {
			return
		}
		if k.Time < 0 || !bytes.Equal(k.Append(nil), b) {
			t.Fatalf("%x is read as %v", b, k)
		}
	})
}

// checkEntry holds an entry to what its documentation promises.
func checkEntry(t *testing.T, e *Entry) {
	t.Helper()
	if len(e.Author) != authorLen || len(e.Topic) == 0 || len(e.Topic) > MaxTopic || len(e.Raw) > MaxRaw || len(e.Pings) == 0 || len(e.Pings) > MaxPings {
		t.Fatalf("out of bounds: an author of %d, topic of %d, encoding of %d bytes, %d pings", len(e.Author), len(e.Topic), len(e.Raw), len(e.Pings))
	}
	if e.Time != e.Pings[0].SentAt/1000 || e.Time < 0 || !utf8.ValidString(e.Topic) {
		t.Fatalf("the time %d, the topic %q", e.Time, e.Topic)
	}
	if _, err := e.Author.ExtractPublicKey(); err != nil {
		t.Fatalf("its author: %v", err)
	}
	for _, p := range e.Pings {
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
	}
}
