package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// MaxInput bounds what a key is parsed from, in bytes: far more than any key,
// and more than a kubo config.
const MaxInput = 1 << 20

// pemType is the type of a PKCS#8 block of PEM.
const pemType = "PRIVATE KEY"

const formatsHint = "a key is libp2p's protobuf, base64 as in kubo's Identity.PrivKey, a kubo config, or PEM as openssl genpkey writes it"

// Read reads what [Parse] and [Describe] take, a file or standard input, up to
// [MaxInput].
func Read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxInput+1))
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return data, checkSize(data)
}

func checkSize(data []byte) error {
	if len(data) > MaxInput {
		return &Error{fmt.Errorf("%w: over %d bytes", ErrDamaged, MaxInput), formatsHint}
	}
	return nil
}

// Parse reads a private key in any format that people have one in: libp2p's
// protobuf, what [ParseKubo] reads, and what [ParsePEM] reads. Errors wrap
// [ErrDamaged] or [ErrNotEd25519].
func Parse(data []byte) (crypto.PrivKey, error) {
	if err := checkSize(data); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(data, []byte{0x08}): // the protobuf's first tag, and in no text
		key, err := parseProtobuf(data)
		return key, withHint(err, formatsHint)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return ParsePEM(data)
	}
	return ParseKubo(data)
}

// parseProtobuf reads libp2p's protobuf of a private key.
func parseProtobuf(data []byte) (crypto.PrivKey, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	key, err := crypto.UnmarshalPrivateKey(data)
	if err != nil { // what its many decoders say is no help
		return nil, fmt.Errorf("%w: it is cut short, or not a private key in libp2p's protobuf", ErrDamaged)
	}
	if _, err := standard(key); err != nil {
		return nil, err
	}
	return key, nil
}

// ParseKubo reads a key as kubo keeps it: the base64 of its protobuf, or a whole
// kubo config in JSON, which has that in Identity.PrivKey and whose
// Identity.PeerID must be the key's. Errors wrap [ErrDamaged] or
// [ErrNotEd25519].
func ParseKubo(data []byte) (crypto.PrivKey, error) {
	if err := checkSize(data); err != nil {
		return nil, err
	}
	var config struct {
		Identity struct{ PeerID, PrivKey string }
	}
	text := bytes.TrimSpace(data)
	if bytes.HasPrefix(text, []byte("{")) {
		if err := json.Unmarshal(text, &config); err != nil {
			return nil, &Error{fmt.Errorf("%w: reading a kubo config: %w", ErrDamaged, err), formatsHint}
		}
		if config.Identity.PrivKey == "" {
			return nil, &Error{
				fmt.Errorf("%w: a kubo config without Identity.PrivKey", ErrDamaged),
				"`ipfs config show` leaves the key out: take kubo's own file, ~/.ipfs/config",
			}
		}
		text = []byte(config.Identity.PrivKey)
	}
	protobuf := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(protobuf, text)
	if err != nil || n == 0 {
		// The decoder's error would tell of the text, which may be a secret.
		return nil, &Error{fmt.Errorf("%w: neither protobuf, nor base64, nor PEM", ErrDamaged), formatsHint}
	}
	key, err := parseProtobuf(protobuf[:n])
	if err != nil {
		return nil, withHint(err, formatsHint)
	}
	if id := config.Identity.PeerID; id != "" {
		if err := checkID(key, id); err != nil {
			return nil, err
		}
	}
	return key, nil
}

// checkID checks that key is the one of the peer ID that a config names.
func checkID(key crypto.PrivKey, want string) error {
	id, err := peer.Decode(want)
	if err == nil && id.MatchesPrivateKey(key) {
		return nil
	}
	return &Error{
		fmt.Errorf("%w: the config's Identity.PrivKey is not the key of its Identity.PeerID", ErrDamaged),
		"correct the config, or give the base64 of Identity.PrivKey alone",
	}
}

// FormatKubo writes a key as kubo's Identity.PrivKey. It is a secret.
func FormatKubo(key crypto.PrivKey) (string, error) {
	if _, err := standard(key); err != nil {
		return "", err
	}
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding a key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// ParsePEM reads the first block of PEM in data, which must be an unencrypted
// PKCS#8 private key, as `openssl genpkey -algorithm ed25519` writes it. Errors
// wrap [ErrDamaged] or [ErrNotEd25519].
func ParsePEM(data []byte) (crypto.PrivKey, error) {
	if err := checkSize(data); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, &Error{fmt.Errorf("%w: no whole block of PEM", ErrDamaged), formatsHint}
	}
	if block.Type != pemType {
		return nil, &Error{fmt.Errorf("%w: the PEM is of type %q, not %q", ErrDamaged, block.Type, pemType), pemHint(block.Type)}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, &Error{fmt.Errorf("%w: %w", ErrDamaged, err), formatsHint}
	}
	std, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, &Error{fmt.Errorf("%w: the PEM holds a %T", ErrNotEd25519, parsed), "make one with `openssl genpkey -algorithm ed25519`"}
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(std)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return key, nil
}

func pemHint(blockType string) string {
	switch blockType {
	case "ENCRYPTED PRIVATE KEY":
		return "decrypt it first: `openssl pkey -in FILE`"
	case "PUBLIC KEY":
		return "the private key is needed, the public one follows from it"
	}
	return "make a key with `openssl genpkey -algorithm ed25519`, or `p2ping key new`"
}

// FormatPEM writes a key as PEM of PKCS#8. It is a secret.
func FormatPEM(key crypto.PrivKey) ([]byte, error) {
	std, err := standard(key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(std)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// withHint adds a hint to an error that is one and has none.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // only the outermost counts
		return e
	}
	return &Error{err, hint}
}
