package entry

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
)

const (
	testTopic = "p2ping"
	// testTime is 2026-01-02T03:04:05.678901Z in Unix microseconds.
	testTime = 1767323045678901
)

// testKey returns the Ed25519 key whose seed is 32 times b.
func testKey(tb testing.TB, b byte) crypto.PrivKey {
	tb.Helper()
	seed := bytes.Repeat([]byte{b}, ed25519.SeedSize)
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// sign makes an entry by the author whose seed is 32 times 7, with the
// sequence number 1.
func sign(tb testing.TB, pings ...Ping) *Entry {
	tb.Helper()
	e, err := Sign(testKey(tb, 7), testTopic, [8]byte{7: 1}, pings)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// decoded returns the fields of an entry's Raw, to be put together differently.
func decoded(tb testing.TB, raw []byte) fields {
	tb.Helper()
	f, err := decodeFields(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// signedBy signs the fields as they are, right or wrong.
func signedBy(tb testing.TB, key crypto.PrivKey, f fields) fields {
	tb.Helper()
	signature, err := key.Sign(f.appendSigned([]byte(signPrefix)))
	if err != nil {
		tb.Fatal(err)
	}
	f.signature = signature
	return f
}

// same fails the test unless both entries say the same in the same bytes.
func same(tb testing.TB, got, want *Entry) {
	tb.Helper()
	if got.ID != want.ID || got.Author != want.Author || got.Topic != want.Topic || got.Time != want.Time {
		tb.Errorf("got the entry %s by %s on %q at %d, want %s by %s on %q at %d",
			got.ID, got.Author, got.Topic, got.Time, want.ID, want.Author, want.Topic, want.Time)
	}
	if !bytes.Equal(got.Raw, want.Raw) {
		tb.Errorf("got the encoding %x, want %x", got.Raw, want.Raw)
	}
	samePings(tb, got.Pings, want.Pings)
}

func samePings(tb testing.TB, got, want []Ping) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("got %d pings, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			tb.Errorf("ping %d is %q at %d, want %q at %d", i, got[i].Text, got[i].SentAt, want[i].Text, want[i].SentAt)
		}
	}
}
