package discovery

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyOf returns the i-th key: the same in every run.
func keyOf(tb testing.TB, i int) crypto.PrivKey {
	tb.Helper()
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i))
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(seed[:]))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func idOf(tb testing.TB, i int) peer.ID {
	tb.Helper()
	id, err := peer.IDFromPrivateKey(keyOf(tb, i))
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func addrs(all ...string) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, s := range all {
		out = append(out, ma.StringCast(s))
	}
	return out
}

func texts(all []ma.Multiaddr) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}

func testBook(tb testing.TB) *book {
	tb.Helper()
	return newBook(idOf(tb, 0), rand.New(rand.NewPCG(1, 1)))
}
