package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// kuboKey is what kubo's Identity.PrivKey is for the key whose seed is 32 times
// 1, and kuboID its Identity.PeerID: made by hand from the public key that
// openssl derives.
const (
	kuboKey = "CAESQAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="
	kuboID  = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
)

func kubo(tb testing.TB, key crypto.PrivKey) string {
	tb.Helper()
	s, err := FormatKubo(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func pemOf(tb testing.TB, key crypto.PrivKey) []byte {
	tb.Helper()
	b, err := FormatPEM(key)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	key := testKey(t, 1)
	legacy := protobuf(t, key) // with the public half twice, as go-libp2p once wrote it
	legacy = append(append([]byte{0x08, 1, 0x12, 96}, legacy[4:]...), legacy[36:]...)
	for name, data := range map[string][]byte{
		"protobuf":             protobuf(t, key),
		"protobuf, old":        legacy,
		"kubo":                 []byte(kuboKey),
		"kubo, spaced":         []byte(" " + kuboKey[:20] + "\r\n" + kuboKey[20:] + "\n"),
		"kubo config":          []byte(`{"Identity": {"PeerID": "` + kuboID + `", "PrivKey": "` + kuboKey + `"}, "Addresses": {}}`),
		"kubo config, no ID":   []byte("\n" + `{"Identity": {"PrivKey": "` + kuboKey + `"}}`),
		"PEM":                  pemOf(t, key),
		"PEM after other text": append([]byte("ED25519 Private-Key:\npriv:\n"), pemOf(t, key)...),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Equals(key) {
				t.Error("it is another key")
			}
		})
	}
	if got := kubo(t, key); got != kuboKey {
		t.Errorf("kubo's form is %s, want %s", got, kuboKey)
	}
}

func TestParseRefuses(t *testing.T) {
	key := testKey(t, 1)
	block := func(name string) []byte {
		b, _ := pem.Decode(pemOf(t, key))
		b.Type = name
		return pem.EncodeToMemory(b)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		err  error
		text string
		hint string
	}{
		{"nothing", nil, ErrDamaged, "neither protobuf, nor base64, nor PEM", "openssl"},
		{"blank", []byte(" \n"), ErrDamaged, "neither protobuf", "openssl"},
		{"a word", []byte("hello!"), ErrDamaged, "neither protobuf", "openssl"},
		{"base64 of something", []byte("aGVsbG8="), ErrDamaged, "not a private key in libp2p's protobuf", "openssl"},
		{"a public key", []byte(base64.StdEncoding.EncodeToString([]byte("\x08\x01\x12\x20" + strings.Repeat("x", 32)))), ErrDamaged, "not a private key in libp2p's protobuf", "openssl"},
		{"half a protobuf", protobuf(t, key)[:30], ErrDamaged, "it is cut short, or not a private key in libp2p's protobuf", "openssl"},
		{"too much", bytes.Repeat([]byte("A"), MaxInput+1), ErrDamaged, "over 1048576", "openssl"},
		{"broken JSON", []byte("{"), ErrDamaged, "kubo config", "openssl"},
		{"config as shown", []byte(`{"Identity": {"PeerID": "` + kuboID + `"}}`), ErrDamaged, "without Identity.PrivKey", "ipfs config show"},
		{"config of two identities", []byte(`{"Identity": {"PeerID": "` + kuboID + `", "PrivKey": "` + kubo(t, testKey(t, 2)) + `"}}`), ErrDamaged, "not the key of", "Identity.PrivKey alone"},
		{"config with a bad ID", []byte(`{"Identity": {"PeerID": "x", "PrivKey": "` + kuboKey + `"}}`), ErrDamaged, "not the key of", "Identity.PrivKey alone"},
		{"half a PEM", pemOf(t, key)[:60], ErrDamaged, "no whole block", "openssl"},
		{"encrypted PEM", block("ENCRYPTED PRIVATE KEY"), ErrDamaged, `"ENCRYPTED PRIVATE KEY"`, "openssl pkey"},
		{"public PEM", block("PUBLIC KEY"), ErrDamaged, `"PUBLIC KEY"`, "private key is needed"},
		{"OpenSSH's", block("OPENSSH PRIVATE KEY"), ErrDamaged, `"OPENSSH PRIVATE KEY"`, "openssl genpkey"},
		{"PEM of something", pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte("hello")}), ErrDamaged, "", "openssl"},
		{"PEM of another kind", pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), ErrNotEd25519, "ecdsa", "openssl genpkey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.data)
			wantError(t, err, tt.err, tt.text, tt.hint)
		})
	}
}

// TestErrorsDoNotTell: a key with a typo must not end up in a log.
func TestErrorsDoNotTell(t *testing.T) {
	for _, typo := range []string{kuboKey[1:], kuboKey + "!", strings.Replace(kuboKey, "ESQ", "ESP", 1), `{"Identity": {"PrivKey": "` + kuboKey[1:] + `"}}`} {
		_, err := Parse([]byte(typo))
		if err == nil {
			t.Fatalf("%s is accepted", typo)
		}
		if strings.Contains(err.Error(), kuboKey[30:40]) {
			t.Errorf("the error tells the key: %v", err)
		}
	}
}

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader(kuboKey))
	if err != nil || string(got) != kuboKey {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = Read(strings.NewReader(strings.Repeat("x", MaxInput+1)))
	wantError(t, err, ErrDamaged, "over 1048576", "openssl")
}

// TestOpenSSL exchanges keys with the real openssl, both ways.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: no openssl here, so nobody checked that it and p2ping read each other's keys")
	}
	run := func(in []byte, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	theirs := run(nil, "genpkey", "-algorithm", "ed25519")
	key, err := Parse(theirs)
	if err != nil {
		t.Fatalf("%s: %v", theirs, err)
	}
	ours := pemOf(t, key)
	if !bytes.Equal(ours, theirs) {
		t.Error("we write openssl's key otherwise than openssl")
	}
	public, _ := pem.Decode(run(ours, "pkey", "-pubout"))
	raw, err := key.GetPublic().Raw()
	if err != nil {
		t.Fatal(err)
	}
	if public == nil || !bytes.HasSuffix(public.Bytes, raw) {
		t.Error("openssl derives another public key from ours")
	}
	_, err = Parse(run(nil, "genpkey", "-algorithm", "x25519"))
	wantError(t, err, ErrNotEd25519, "ecdh", "openssl genpkey -algorithm ed25519")
}

// FuzzParse: no input crashes Parse, and what it accepts is an Ed25519 key that
// every format holds.
func FuzzParse(f *testing.F) {
	key := testKey(f, 1)
	f.Add(protobuf(f, key))
	f.Add([]byte(kuboKey))
	f.Add([]byte(`{"Identity": {"PeerID": "` + kuboID + `", "PrivKey": "` + kuboKey + `"}}`))
	f.Add(pemOf(f, key))
	f.Add([]byte(`{"Identity": {"PrivKey": 1}}`))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("\x08\x00\x12\x00"))
	for _, other := range otherKinds(f) {
		f.Add(protobuf(f, other))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotEd25519) {
				t.Fatalf("%v is no error of this package", err)
			}
			return
		}
		for _, again := range [][]byte{protobuf(t, key), []byte(kubo(t, key)), pemOf(t, key)} {
			got, err := Parse(again)
			if err != nil || !got.Equals(key) {
				t.Fatalf("its own encoding %q is another key: %v", again, err)
			}
		}
	})
}
