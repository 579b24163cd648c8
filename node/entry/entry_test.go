package entry

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestParseOfSign(t *testing.T) {
	e := sign(t, Ping{"hello", testTime}, Ping{"world", testTime + 1})
	author, err := peer.IDFromPrivateKey(testKey(t, 7))
	if err != nil {
		t.Fatal(err)
	}
	if e.Author != author || e.Topic != testTopic || e.Time != testTime/1000 {
		t.Errorf("got %s on %q at %d", e.Author, e.Topic, e.Time)
	}
	samePings(t, e.Pings, []Ping{{"hello", testTime}, {"world", testTime + 1}})
	if want := (Key{Time: e.Time, ID: e.ID}); e.Key() != want {
		t.Errorf("its key is %v, want %v", e.Key(), want)
	}
	for name, parse := range map[string]func([]byte) (*Entry, error){"Parse": Parse, "ParseTrusted": ParseTrusted} {
		got, err := parse(e.Raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same(t, got, e)
	}
}

func TestEntriesDoNotShareBytesWithTheirSource(t *testing.T) {
	e := sign(t, Ping{"hello", testTime})
	source := bytes.Clone(e.Raw)
	got, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	clear(source)
	same(t, got, e)
	_ = append(got.Raw, 1) // must not write into memory that anything else reads
	same(t, got, e)
}

func TestTimeIsTheFirstPingsCutToMilliseconds(t *testing.T) {
	for _, tt := range []struct{ sentAt, want int64 }{
		{0, 0},
		{999, 0},
		{1000, 1},
		{testTime, 1767323045678},
		{maxSentAt, 253402300799999},
	} {
		if got := sign(t, Ping{"a", tt.sentAt}, Ping{"b", 5}).Time; got != tt.want {
			t.Errorf("an entry sent at %d µs is of %d ms, want %d", tt.sentAt, got, tt.want)
		}
	}
}

// TestKeyField is about the one field that is neither signed nor stored.
func TestKeyField(t *testing.T) {
	e := sign(t, Ping{"hello", testTime})
	own, err := crypto.MarshalPublicKey(testKey(t, 7).GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	other, err := crypto.MarshalPublicKey(testKey(t, 8).GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	swapped := append(bytes.Clone(own[2:]), own[:2]...) // its two fields the other way round
	for _, tt := range []struct {
		name string
		key  []byte
		ok   bool
	}{
		{"empty", []byte{}, true},
		{"the author's", own, true},
		{"the author's, encoded otherwise", swapped, true},
		{"another's", other, false},
		{"none", []byte("key"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := protowire.AppendTag(bytes.Clone(e.Raw), messageKey, protowire.BytesType)
			got, err := Parse(protowire.AppendBytes(raw, tt.key))
			if !tt.ok {
				wantInvalid(t, err, "key is not its author's")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, e)
		})
	}
}

func TestEveryEncodingHasTheSameID(t *testing.T) {
	e := sign(t, Ping{"hello", testTime})
	parts := split(t, e.Raw)
	reversed := bytes.Join([][]byte{parts[4], parts[3], parts[2], parts[1], parts[0]}, nil)
	// The length of the author, 38, in two bytes where one would do.
	long := append([]byte{0x0a, 0x80 | 38, 0x00}, e.Raw[2:]...)
	for name, raw := range map[string][]byte{"reversed": reversed, "a long varint": long} {
		got, err := Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same(t, got, e)
	}
}

func TestInvalid(t *testing.T) {
	key := testKey(t, 7)
	e := sign(t, Ping{"hello", testTime})
	valid := decoded(t, e.Raw)
	parts := split(t, e.Raw)
	other, err := peer.IDFromPrivateKey(testKey(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	// change signs the fields anew after f changed them.
	change := func(f func(*fields)) []byte {
		changed := valid
		f(&changed)
		_, raw := signedBy(t, key, changed).encode()
		return raw
	}
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"nothing", nil, "no Ed25519 identity"},
		{"too long", make([]byte, MaxRaw+1), "over 66560"},
		{"cut off", e.Raw[:len(e.Raw)-1], "unexpected EOF"},
		{"unknown field", append(bytes.Clone(e.Raw), 0x3a, 0), "unknown field 7"},
		{"field twice", append(bytes.Clone(e.Raw), parts[2]...), "field 3 twice"},
		{"group", append(bytes.Clone(e.Raw), 0x3b, 0x3c), "wire type 3"},
		{"wrong wire type", append([]byte{0x08, 1}, bytes.Join(parts[1:], nil)...), "wire type 0, not 2"},
		{"no author", bytes.Join(parts[1:], nil), "no Ed25519 identity"},
		{"no data", bytes.Join([][]byte{parts[0], parts[2], parts[3], parts[4]}, nil), "0 pings"},
		{"no sequence number", bytes.Join([][]byte{parts[0], parts[1], parts[3], parts[4]}, nil), "sequence number of 0"},
		{"no topic", bytes.Join([][]byte{parts[0], parts[1], parts[2], parts[4]}, nil), "topic of 0"},
		{"no signature", bytes.Join(parts[:4], nil), "signature of 0"},
		{"another author", change(func(f *fields) { f.from = []byte(other) }), "the signature is not " + other.String()},
		{"author of another kind", change(func(f *fields) { f.from = bytes.Repeat([]byte{0x12}, 38) }), "no Ed25519 identity"},
		{"author with a tail", change(func(f *fields) { f.from = append(bytes.Clone(f.from), 0) }), "no Ed25519 identity"},
		{"short sequence number", change(func(f *fields) { f.seqno = f.seqno[:7] }), "sequence number of 7"},
		{"long sequence number", change(func(f *fields) { f.seqno = make([]byte, 9) }), "sequence number of 9"},
		{"long topic", change(func(f *fields) { f.topic = strings.Repeat("x", MaxTopic+1) }), "topic of 257"},
		{"topic not UTF-8", change(func(f *fields) { f.topic = "\xff" }), "topic that is not valid UTF-8"},
		{"data that is no data", change(func(f *fields) { f.data = []byte("hello") }), "invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.raw)
			wantInvalid(t, err, tt.want)
		})
	}
	if _, err := Parse(change(func(f *fields) { f.topic = strings.Repeat("x", MaxTopic) })); err != nil {
		t.Errorf("the longest topic: %v", err)
	}
}

func TestSignatureIsChecked(t *testing.T) {
	e := sign(t, Ping{"hello", testTime})
	raw := bytes.Clone(e.Raw)
	raw[len(raw)-1] ^= 1
	_, err := Parse(raw)
	wantInvalid(t, err, "the signature is not")

	trusted, err := ParseTrusted(raw)
	if err != nil {
		t.Fatal(err)
	}
	if trusted.ID != e.ID {
		t.Error("the signature is part of the id")
	}
}

func TestSignRefuses(t *testing.T) {
	secp, _, err := crypto.GenerateSecp256k1Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	pings := []Ping{{"hello", testTime}}
	for _, tt := range []struct {
		name  string
		key   crypto.PrivKey
		topic string
		pings []Ping
		want  string
	}{
		{"key of another kind", secp, testTopic, pings, "no Ed25519 identity"},
		{"no topic", testKey(t, 7), "", pings, "topic of 0"},
		{"no pings", testKey(t, 7), testTopic, nil, "0 pings"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Sign(tt.key, tt.topic, [8]byte{}, tt.pings)
			wantInvalid(t, err, tt.want)
		})
	}
}

// TestLargestEntry holds MaxRaw to what it promises: room for any entry.
func TestLargestEntry(t *testing.T) {
	e, err := Sign(testKey(t, 7), strings.Repeat("x", MaxTopic), [8]byte{}, fullData(t))
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.MarshalPublicKey(testKey(t, 7).GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	raw := protowire.AppendBytes(protowire.AppendTag(bytes.Clone(e.Raw), messageKey, protowire.BytesType), key)
	if len(raw) > MaxRaw {
		t.Fatalf("an entry of %d bytes, over %d", len(raw), MaxRaw)
	}
	got, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, e)
}

func TestIDIsTheHashOfWhatIsSigned(t *testing.T) {
	e := sign(t, Ping{"hello", testTime})
	const signature = 1 + 1 + 64
	want := sha256.Sum256(append([]byte("libp2p-pubsub:"), e.Raw[:len(e.Raw)-signature]...))
	if e.ID != want {
		t.Errorf("got %s, want %x", e.ID, want)
	}
}

// wantInvalid fails the test unless err wraps ErrInvalid and says want.
func wantInvalid(tb testing.TB, err error, want string) {
	tb.Helper()
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
		tb.Errorf("got the error %v, want one that is ErrInvalid and says %q", err, want)
	}
}

// split cuts a message into its fields, tags and all.
func split(tb testing.TB, raw []byte) [][]byte {
	tb.Helper()
	var parts [][]byte
	for len(raw) > 0 {
		_, _, n := protowire.ConsumeField(raw)
		if n < 0 {
			tb.Fatal(protowire.ParseError(n))
		}
		parts = append(parts, raw[:n:n])
		raw = raw[n:]
	}
	return parts
}
