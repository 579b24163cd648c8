package entry

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"pgregory.net/rapid"
)

// pingsGen draws what one entry can hold.
func pingsGen() *rapid.Generator[[]Ping] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Ping {
		return Ping{
			Text:   rapid.StringN(1, 50, MaxText).Draw(t, "text"),
			SentAt: rapid.Int64Range(0, maxSentAt).Draw(t, "sent_at"),
		}
	}), 1, 20)
}

func entryGen(t *testing.T) *rapid.Generator[*Entry] {
	t.Helper()
	return rapid.Custom(func(rt *rapid.T) *Entry {
		key := testKey(t, rapid.Byte().Draw(rt, "author"))
		topic := rapid.StringN(1, 20, MaxTopic).Draw(rt, "topic")
		seqno := [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(rt, "seqno"))
		e, err := Sign(key, topic, seqno, pingsGen().Draw(rt, "pings"))
		if err != nil {
			rt.Fatal(err)
		}
		return e
	})
}

func TestDataRoundTrips(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pings := pingsGen().Draw(rt, "pings")
		data, err := EncodeData(pings)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := DecodeData(data)
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(got, pings) {
			rt.Errorf("got %v, want %v", got, pings)
		}
	})
}

// TestTimesMayBeWrittenEitherWay: whether a ping has a time of its own or one
// after the ping before, it was sent at the same time.
func TestTimesMayBeWrittenEitherWay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pings := pingsGen().Draw(rt, "pings")
		data := encodeTimes(pings, func(ping []byte, i int) []byte {
			if i == 0 || rapid.Bool().Draw(rt, "own") {
				return appendVarint(ping, pingSentAt, uint64(pings[i].SentAt))
			}
			return appendVarint(ping, pingAfter, protowire.EncodeZigZag(pings[i].SentAt-pings[i-1].SentAt))
		})
		got, err := DecodeData(data)
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(got, pings) {
			rt.Errorf("got %v, want %v", got, pings)
		}
	})
}

func TestEntriesRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := entryGen(t).Draw(rt, "entry")
		got, err := Parse(e.Raw)
		if err != nil {
			rt.Fatal(err)
		}
		same(t, got, e)
		var m pb.Message
		if err := proto.Unmarshal(e.Raw, &m); err != nil {
			rt.Fatal(err)
		}
		if got, err = FromMessage(&m); err != nil {
			rt.Fatal(err)
		}
		same(t, got, e)
	})
}

// TestOrderAndKeyDoNotMatter: whatever order a peer's protobuf library writes
// the fields in, and whether it adds the author's key, the entry is the same.
func TestOrderAndKeyDoNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := entryGen(t).Draw(rt, "entry")
		parts := split(t, e.Raw)
		if rapid.Bool().Draw(rt, "key") {
			key := protowire.AppendTag(nil, messageKey, protowire.BytesType)
			parts = append(parts, protowire.AppendString(key, string(e.Author[2:])))
		}
		got, err := Parse(bytes.Join(rapid.Permutation(parts).Draw(rt, "parts"), nil))
		if err != nil {
			rt.Fatal(err)
		}
		same(t, got, e)
	})
}

// TestEveryFlippedBitIsNoticed: bytes that differ from an entry's Raw are no
// entry, or encode the very same one in another way.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	e := sign(t, Ping{"hello", testTime}, Ping{"wörld", testTime + 1})
	for bit := range 8 * len(e.Raw) {
		raw := bytes.Clone(e.Raw)
		raw[bit/8] ^= 1 << (bit % 8)
		got, err := Parse(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("bit %d: %v is not ErrInvalid", bit, err)
			}
			continue
		}
		if bytes.Equal(got.Raw, raw) || !bytes.Equal(got.Raw, e.Raw) {
			t.Errorf("bit %d: another entry was accepted, %x", bit, got.Raw)
		}
	}
}

func TestEveryTruncationIsNoticed(t *testing.T) {
	e := sign(t, Ping{"hello", testTime})
	for n := range e.Raw {
		if _, err := Parse(e.Raw[:n]); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d of %d bytes: %v", n, len(e.Raw), err)
		}
	}
}

func TestKeysSortAsTheirEncodings(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) Key {
		// Few distinct values, so that equal times and ids come up.
		return Key{
			Time: rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 1<<63-1)).Draw(t, "time"),
			ID:   ID{0: rapid.ByteRange(0, 3).Draw(t, "first"), 31: rapid.Byte().Draw(t, "last")},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if got, want := a.Compare(b), bytes.Compare(a.Append(nil), b.Append(nil)); got != want {
			t.Errorf("%v.Compare(%v) = %d, their encodings compare to %d", a, b, got, want)
		}
		if got, err := DecodeKey(a.Append(nil)); err != nil || got != a {
			t.Errorf("%v comes back as %v, %v", a, got, err)
		}
	})
}

// TestAdmissionIsMonotone: time alone turns a "not yet" into an admission, and
// never takes one back.
func TestAdmissionIsMonotone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := entryGen(t).Draw(rt, "entry")
		now := time.UnixMicro(rapid.Int64Range(0, maxSentAt).Draw(rt, "now"))
		later := now.Add(time.Duration(rapid.Int64Range(0, 1<<62).Draw(rt, "passed")))
		before, after := e.Admit(e.Topic, now, 0), e.Admit(e.Topic, later, 0)
		if before == nil && after != nil {
			rt.Errorf("admitted at %s, refused at %s: %v", now, later, after)
		}
		if errors.Is(cmp.Or(before, after), ErrBelowFloor) {
			rt.Error("an entry is below the floor of 0")
		}
	})
}
