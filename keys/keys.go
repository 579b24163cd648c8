// Package keys keeps a node's identity on disk: an Ed25519 private key in one
// file, [FileName], from which its peer ID follows.
//
// The file holds libp2p's protobuf of a private key, which the tools of the
// kubo family read. It has mode 0600, in a directory that is made with mode
// 0700. A key is never overwritten, never replaced because it can't be read,
// refused when others can read it, and never part of an error's text.
//
// Durability: a file is written under a temporary name, synced, linked to its
// own name, which fails when that is taken, and its directory synced. So it is
// there whole or not at all, whatever crashes, and of several processes
// that start at once one makes the key and all use it.
//
// Errors that a person can do something about have a method Hint() string, see
// [Error].
package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	cryptopb "github.com/libp2p/go-libp2p/core/crypto/pb"
)

// FileName is the name of a node's key in its data directory.
const FileName = "identity.key"

var (
	// ErrExists is returned where a key would be written over a file.
	ErrExists = errors.New("key file exists already")
	// ErrPermissions is returned for a key file that others than its owner
	// can read or write.
	ErrPermissions = errors.New("key file is open to others")
	// ErrDamaged is returned for what should be a private key and is not, or
	// not any more.
	ErrDamaged = errors.New("not a valid private key")
	// ErrNotEd25519 is returned for a private key of another kind.
	ErrNotEd25519 = errors.New("not an Ed25519 key")
)

// Error is an error with a hint at what to do about it. To find the hint:
//
//	errors.AsType[interface { error; Hint() string }](err)
type Error struct {
	err  error
	hint string
}

// Error says what is wrong, without the hint.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error that the hint is about.
func (e *Error) Unwrap() error { return e.err }

// Hint says in one line, without a period, what to do. It is never empty.
func (e *Error) Hint() string { return e.hint }

// Generate makes a new key from the system's randomness.
func Generate() (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return key, nil
}

// standard returns the standard library's form of key: [ErrNotEd25519] when
// it is none, [ErrDamaged] when its public half does not follow from its
// private half. Signing with such a pair would give the private half away.
func standard(key crypto.PrivKey) (ed25519.PrivateKey, error) {
	if key.Type() != cryptopb.KeyType_Ed25519 {
		return nil, &Error{
			fmt.Errorf("%w: its type is %s", ErrNotEd25519, key.Type()),
			"a node's key is always Ed25519: `p2ping key new` makes one, so does `openssl genpkey -algorithm ed25519`",
		}
	}
	raw, err := key.Raw()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(raw) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrDamaged, len(raw), ed25519.PrivateKeySize)
	}
	whole := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if subtle.ConstantTimeCompare(whole, raw) == 0 {
		return nil, fmt.Errorf("%w: its two halves are not of one key", ErrDamaged)
	}
	return whole, nil
}
