package discovery

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
)

// largest is an answer with as much in it as there may be.
func largest(tb testing.TB) answer {
	tb.Helper()
	var a answer
	for i := range maxRecords {
		r := record{id: idOf(tb, i+1)}
		for range maxAddrs {
			r.addrs = append(r.addrs, ma.StringCast("/ip6/2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/udp/65535/quic-v1"))
		}
		a.records = append(a.records, r)
	}
	a.twin = true
	return a
}

func TestRequestRoundTrip(t *testing.T) {
	want := request{topic: topicTag("a topic"), instance: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, most: 9}
	got, err := readRequest(bytes.NewReader(want.encode()))
	if err != nil || got != want {
		t.Errorf("read %v, %v, want %v", got, err, want)
	}
	if _, err := readRequest(bytes.NewReader(want.encode()[:requestSize-1])); err == nil {
		t.Error("read a request that was cut off")
	}
}

func TestAnswerRoundTrip(t *testing.T) {
	for name, want := range map[string]answer{
		"empty":   {},
		"one":     {records: []record{{idOf(t, 1), addrs("/ip4/1.2.3.4/tcp/1")}}},
		"largest": largest(t),
	} {
		b := want.encode()
		got, n, err := readAnswer(bytes.NewReader(b))
		if err != nil || n != len(b) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %v, %d of %d bytes, %v", name, got, n, len(b), err)
		}
	}
}

func TestAnswerRefused(t *testing.T) {
	field := func(num protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
	}
	id := field(fieldID, []byte(idOf(t, 1)))
	rsa, _, err := crypto.GenerateKeyPair(crypto.RSA, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaID, err := peer.IDFromPrivateKey(rsa)
	if err != nil {
		t.Fatal(err)
	}
	one := addrs("/ip4/1.2.3.4/tcp/1")[0].Bytes()
	for name, b := range map[string][]byte{
		"too many records":     bytes.Repeat(field(fieldPeers, id), maxRecords+1),
		"too long":             make([]byte, maxAnswer+1),
		"no peer ID":           field(fieldPeers, field(fieldAddrs, one)),
		"an RSA peer":          field(fieldPeers, field(fieldID, []byte(rsaID))),
		"no peer ID but bytes": field(fieldPeers, field(fieldID, []byte("x"))),
		"too many addresses":   field(fieldPeers, append(id, bytes.Repeat(field(fieldAddrs, one), maxAddrs+1)...)),
		"too long an address":  field(fieldPeers, append(id, field(fieldAddrs, make([]byte, maxAddr+1))...)),
		"cut off":              field(fieldPeers, id)[:10],
		"a group":              protowire.AppendTag(nil, 9, protowire.StartGroupType),
	} {
		if a, _, err := readAnswer(bytes.NewReader(b)); !errors.Is(err, errProtocol) {
			t.Errorf("%s: read %v, %v", name, a, err)
		}
	}
	unknown := append(field(99, []byte("x")), field(fieldPeers, append(id, field(fieldAddrs, []byte{0xff, 0xff, 0xff})...))...)
	if a, _, err := readAnswer(bytes.NewReader(unknown)); err != nil || len(a.records) != 1 || len(a.records[0].addrs) != 0 {
		t.Errorf("an unknown field and an unknown address: %v, %v", a, err)
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(largest(f).encode())
	f.Add(answer{records: []record{{idOf(f, 1), addrs("/ip4/127.0.0.1/tcp/1/ws")}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, n, err := readAnswer(bytes.NewReader(b))
		if n > maxAnswer+1 {
			t.Fatalf("%d bytes were read", n)
		}
		if err != nil {
			return
		}
		if len(a.records) > maxRecords {
			t.Fatalf("%d records", len(a.records))
		}
		for _, r := range a.records {
			if !isEd25519(r.id) || len(r.addrs) > maxAddrs {
				t.Fatalf("a record of %s with %d addresses", r.id, len(r.addrs))
			}
			for _, a := range append(takeable(r.addrs, end{scope: loopback}), tellable(r.addrs, end{scope: public}, end{scope: public})...) {
				if s, ip := scopeOf(a); s == nowhere || !ip.IsValid() || !dialable(a) {
					t.Fatalf("%s may be dialled", a)
				}
			}
		}
		again, _, err := readAnswer(bytes.NewReader(a.encode()))
		if err != nil || len(again.records) != len(a.records) {
			t.Fatalf("encoded and read again: %v, %v", again, err)
		}
	})
}
