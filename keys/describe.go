package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// maxText bounds a peer ID or a multiaddr in bytes.
const maxText = 1024

// Description is what can be told of a peer from its ID. None of it is secret.
type Description struct {
	// PeerID is the ID in base58, 12D3Koo... or Qm..., as addresses have it.
	PeerID string `json:"peer_id"`
	// CID is the same ID as a CIDv1 in base32, bafz..., the form that libp2p's
	// specification prefers. kubo prints it in base36, k51...
	CID string `json:"cid"`
	// KeyType is Ed25519, Secp256k1, RSA or ECDSA, and empty when the ID is
	// only a key's hash, as those of RSA keys are.
	KeyType string `json:"key_type,omitempty"`
	// PublicKey is the base64 of libp2p's protobuf of the public key, as GET
	// /id answers it. Empty like KeyType.
	PublicKey string `json:"public_key,omitempty"`
	// PublicKeyHex is the key's own bytes, 32 for Ed25519, in hexadecimal.
	// Empty like KeyType.
	PublicKeyHex string `json:"public_key_hex,omitempty"`
}

// Describe tells of a peer what data says: a private key in any format that
// [Parse] reads, a peer ID in any encoding (base58, or a CID in whatever base),
// or a multiaddr that ends in /p2p/ID. Errors about keys are those of Parse.
func Describe(data []byte) (Description, error) {
	if err := checkSize(data); err != nil {
		return Description{}, err
	}
	text := string(bytes.TrimSpace(data))
	if len(text) > maxText {
		text = "" // a key, if anything
	}
	if strings.HasPrefix(text, "/") {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			return Description{}, &Error{
				fmt.Errorf("reading the address %q: %w", text, err),
				"an address that names a peer ends in its ID: /ip4/127.0.0.1/tcp/6001/p2p/12D3Koo...",
			}
		}
		return DescribeID(info.ID)
	}
	if id, err := peer.Decode(text); err == nil {
		return DescribeID(id)
	}
	key, err := Parse(data)
	if err != nil && utf8.ValidString(text) && !strings.ContainsAny(text, " \n{") {
		return Description{}, &Error{
			fmt.Errorf("neither a peer ID, nor an address, nor a key: %w", err),
			"a peer ID is like 12D3Koo..., an address like /ip4/127.0.0.1/tcp/6001/p2p/12D3Koo...; " + formatsHint,
		}
	}
	if err != nil {
		return Description{}, err
	}
	return describe(key.GetPublic())
}

// DescribeID tells what a peer ID says.
func DescribeID(id peer.ID) (Description, error) {
	if err := id.Validate(); err != nil {
		return Description{}, fmt.Errorf("reading a peer ID: %w", err)
	}
	d := Description{PeerID: id.String(), CID: peer.ToCid(id).String()}
	public, err := id.ExtractPublicKey()
	if errors.Is(err, peer.ErrNoPublicKey) {
		return d, nil
	}
	if err != nil {
		return Description{}, fmt.Errorf("reading the public key in the peer ID %s: %w", id, err)
	}
	protobuf, err := crypto.MarshalPublicKey(public)
	if err != nil {
		return Description{}, fmt.Errorf("encoding the public key of %s: %w", id, err)
	}
	raw, err := public.Raw()
	if err != nil {
		return Description{}, fmt.Errorf("encoding the public key of %s: %w", id, err)
	}
	d.KeyType = public.Type().String()
	d.PublicKey = base64.StdEncoding.EncodeToString(protobuf)
	d.PublicKeyHex = hex.EncodeToString(raw)
	return d, nil
}

func describe(public crypto.PubKey) (Description, error) {
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		return Description{}, fmt.Errorf("deriving a peer ID: %w", err)
	}
	return DescribeID(id)
}
