package keys

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// testKey returns the key whose seed is 32 times b.
func testKey(tb testing.TB, b byte) crypto.PrivKey {
	tb.Helper()
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize)))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// protobuf returns a key as a key file has it.
func protobuf(tb testing.TB, key crypto.PrivKey) []byte {
	tb.Helper()
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// otherKinds returns a key of every kind that is not Ed25519.
func otherKinds(tb testing.TB) map[string]crypto.PrivKey {
	tb.Helper()
	rsa, _, err := crypto.GenerateKeyPair(crypto.RSA, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	secp, _, err := crypto.GenerateSecp256k1Key(nil)
	if err != nil {
		tb.Fatal(err)
	}
	ecdsa, _, err := crypto.GenerateKeyPair(crypto.ECDSA, 256)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]crypto.PrivKey{"RSA": rsa, "Secp256k1": secp, "ECDSA": ecdsa}
}

// wantError fails the test unless err is want (nil: any), says text, and has a hint in
// one line that says hint.
func wantError(tb testing.TB, err, want error, text, hint string) {
	tb.Helper()
	if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		tb.Errorf("got the error %v, want one that is %v and says %q", err, want, text)
		return
	}
	hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok {
		tb.Errorf("%v: no hint", err)
		return
	}
	if got := hinted.Hint(); got == "" || !strings.Contains(got, hint) || strings.Contains(got, "\n") {
		tb.Errorf("got the hint %q, want one line that says %q", got, hint)
	}
	if strings.Contains(err.Error(), hinted.Hint()) {
		tb.Errorf("the error %v has its hint in its text", err)
	}
}

func TestGenerate(t *testing.T) {
	a, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if a.Equals(b) {
		t.Error("two keys are the same")
	}
	id, err := peer.IDFromPrivateKey(a)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(id.String(), "12D3Koo") {
		t.Errorf("its peer ID is %s", id)
	}
}

func TestOtherKindsAreRefused(t *testing.T) {
	for kind, key := range otherKinds(t) {
		t.Run(kind, func(t *testing.T) {
			err := Create(t.TempDir()+"/key", key)
			wantError(t, err, ErrNotEd25519, kind, "p2ping key new")
			_, err = Parse(protobuf(t, key))
			wantError(t, err, ErrNotEd25519, kind, "p2ping key new")
			_, err = FormatKubo(key)
			wantError(t, err, ErrNotEd25519, kind, "p2ping key new")
			_, err = FormatPEM(key)
			wantError(t, err, ErrNotEd25519, kind, "p2ping key new")
		})
	}
}
