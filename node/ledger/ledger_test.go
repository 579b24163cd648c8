package ledger

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"p2ping/node/entry"
)

func testKey(t testing.TB) crypto.PrivKey {
	t.Helper()
	k, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, key crypto.PrivKey, seq uint64, ms int64) *entry.Entry {
	t.Helper()
	var seqno [8]byte
	binary.BigEndian.PutUint64(seqno[:], seq)
	e, err := entry.Sign(key, "test", seqno, []entry.Ping{{Text: "hello", SentAt: ms * 1000}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSmoke(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	k := testKey(t)
	for i := range 100 {
		if rs, err := l.Append(t.Context(), Own, sign(t, k, uint64(i), int64(1000+i))); err != nil || len(rs) != 1 {
			t.Fatal(rs, err)
		}
	}
	d, s, err := l.Digest()
	t.Log(d, s, err)
	n := 0
	for r, err := range l.Range(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		_ = r
	}
	if n != 100 {
		t.Fatal(n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	rs, err := l.After(50, 10)
	if err != nil || len(rs) != 10 || rs[0].Cursor != 51 {
		t.Fatal(rs, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
