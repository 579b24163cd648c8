package keys

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

func TestDescribe(t *testing.T) {
	key := testKey(t, 1)
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := crypto.MarshalPublicKey(key.GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	const ( // by hand, from the public key that openssl derives
		base32 = "bafzaajaiaejcbcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a6324"
		base36 = "k51qzi5uqu5djmw2yvf8kk5cdjc1ddc00o4d5sjwi6f79xzcay9j3gkddw5uu4"
		base58 = "z5AanNVJCxnQAAagES5H8EPxirrGfxGL13JfjVfELpdQ4rkD91Ki5Uf"
	)
	want := Description{
		PeerID:       kuboID,
		CID:          base32,
		KeyType:      "Ed25519",
		PublicKey:    base64.StdEncoding.EncodeToString(public),
		PublicKeyHex: "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
	}
	for name, in := range map[string]string{
		"key file":          string(protobuf(t, key)),
		"kubo":              kuboKey + "\n",
		"PEM":               string(pemOf(t, key)),
		"base58":            id.String() + "\n",
		"CID, base32":       base32,
		"CID, base32 upper": "B" + strings.ToUpper(base32[1:]),
		"CID, base36":       base36,
		"CID, base58":       base58,
		"address":           "/ip4/127.0.0.1/tcp/6001/p2p/" + kuboID,
		"address, DNS, CID": " /dns4/example.org/udp/6001/quic-v1/p2p/" + base36 + " ",
		"ID as an address":  "/p2p/" + kuboID,
		"relayed address":   "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7/p2p-circuit/p2p/" + kuboID,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Describe([]byte(in))
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got\n%+v, want\n%+v", got, want)
			}
		})
	}
}

func TestDescribeIDOfOtherKinds(t *testing.T) {
	for kind, key := range otherKinds(t) {
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Describe([]byte(id.String()))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got.PeerID != id.String() || got.CID != peer.ToCid(id).String() {
			t.Errorf("%s: got %+v", kind, got)
		}
		// Only short keys are in their IDs.
		inside := kind == "Secp256k1"
		if (got.KeyType == kind) != inside || (got.PublicKey != "") != inside || (got.PublicKeyHex != "") != inside {
			t.Errorf("%s: got %+v", kind, got)
		}
	}
}

func TestDescribeRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, text, hint string }{
		{"a word", "hello!", "neither a peer ID, nor an address, nor a key", "12D3Koo"},
		{"a peer ID with a typo", kuboID[1:], "neither a peer ID", "12D3Koo"},
		{"an address without an ID", "/ip4/127.0.0.1/tcp/6001", "/ip4/127.0.0.1/tcp/6001", "ends in its ID"},
		{"no address", "/tmp/x", "/tmp/x", "ends in its ID"},
		{"a broken key", string(protobuf(t, testKey(t, 1))[:40]), "not a valid private key", "openssl"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Describe([]byte(tt.in))
			wantError(t, err, nil, tt.text, tt.hint)
		})
	}
	if _, err := DescribeID(""); err == nil {
		t.Error("an empty ID has a description")
	}
}

// FuzzDescribe: no input crashes it, and what it accepts describes itself.
func FuzzDescribe(f *testing.F) {
	for _, s := range []string{kuboID, kuboKey, "/p2p/" + kuboID, "1", "Qm", "k51", "/p2p/1", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Describe(data)
		if err != nil {
			return
		}
		for _, again := range []string{d.PeerID, d.CID} {
			if got, err := Describe([]byte(again)); err != nil || got != d {
				t.Fatalf("%q describes %+v, but %q %+v: %v", data, d, again, got, err)
			}
		}
	})
}
