package status

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
)

// testID is the peer ID of the key whose seed begins with two bytes.
func testID(tb testing.TB, i int) peer.ID {
	tb.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0], seed[1] = byte(i), byte(i>>8)
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		tb.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func manyPeers(tb testing.TB, n int) []Peer {
	tb.Helper()
	peers := make([]Peer, n)
	for i := range peers {
		peers[i] = Peer{ID: testID(tb, i), InMesh: true, RTT: maxRTT, Silent: true}
		for j := range maxAddrs {
			peers[i].Addrs = append(peers[i].Addrs, ma.StringCast(fmt.Sprintf("/dns6/%s/tcp/65535/ws", strings.Repeat(string(rune('a'+j)), maxAddr-8))))
		}
	}
	return peers
}

// largest is the report of which nothing may be more.
func largest(tb testing.TB) Report {
	tb.Helper()
	return Report{
		Agent: strings.Repeat("x", maxAgent), Entries: maxCount, Pings: maxCount,
		TopicPeers: 1<<31 - 1, Peers: manyPeers(tb, MaxPeers),
	}
}

func TestReportsComeBack(t *testing.T) {
	for name, r := range map[string]Report{
		"alone":   {Agent: "p2ping/1"},
		"nothing": {Entries: 1},
		"some": {Agent: "é", Entries: 3, Pings: 5, TopicPeers: 9, Peers: []Peer{
			{ID: testID(t, 1)},
			{ID: testID(t, 2), InMesh: true},
			{ID: testID(t, 3), RTT: 1234 * time.Microsecond},
			{ID: testID(t, 4), Silent: true},
			{ID: testID(t, 5), Addrs: []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/udp/5/quic-v1"), ma.StringCast("/ip6/::1/tcp/5/ws")}},
		}},
		"largest": largest(t),
	} {
		b := r.encode()
		if len(b) > maxAnswer {
			t.Errorf("%s: %d bytes, over %d", name, len(b), maxAnswer)
		}
		if got, err := decodeReport(b); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: %+v comes back as %+v, %v", name, r, got, err)
		}
	}
}

// TestProtocolExample is the example in PROTOCOL.md.
func TestProtocolExample(t *testing.T) {
	r := Report{Agent: "x", Entries: 2, Pings: 300, TopicPeers: 1, Peers: []Peer{{
		ID: testID(t, 7), InMesh: true, RTT: 1500 * time.Microsecond, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/tcp/6001")},
	}}}
	want := "0a0178" + "1002" + "18ac02" + "2001" +
		"2a37" + "0a26" + hex.EncodeToString([]byte(testID(t, 7))) + "1001" + "18dc0b" + "2208" + "0401020304" + "061771"
	if got := hex.EncodeToString(r.encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if tag := topicTag("p2ping"); hex.EncodeToString(tag[:]) != "ba001bc7" {
		t.Errorf("the topic's tag is %x", tag)
	}
}

func TestBadReports(t *testing.T) {
	count := func(num protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), n)
	}
	text := func(num protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), s)
	}
	told := func(parts ...[]byte) []byte { // a peer, counted
		return append(count(fieldTopicPeers, 9), text(fieldPeers, string(bytes.Join(parts, nil)))...)
	}
	id := text(fieldID, string(testID(t, 1)))
	tooMany := largest(t)
	tooMany.Peers = manyPeers(t, MaxPeers+1)
	twice := Report{TopicPeers: 2, Peers: []Peer{{ID: testID(t, 1)}, {ID: testID(t, 1)}}}
	for name, b := range map[string][]byte{
		"empty":                   {},
		"garbage":                 []byte("HTTP/1.1 400 Bad Request"),
		"cut off":                 largest(t).encode()[:100],
		"too long":                text(99, strings.Repeat("x", maxAnswer)),
		"too many peers":          tooMany.encode(),
		"a peer twice":            twice.encode(),
		"more than counted":       append(count(fieldTopicPeers, 0), text(fieldPeers, string(id))...),
		"a long agent":            text(fieldAgent, strings.Repeat("x", maxAgent+1)),
		"an agent not UTF-8":      text(fieldAgent, "\xff"),
		"an agent that counts":    count(fieldAgent, 1),
		"an agent twice":          append(text(fieldAgent, "x"), text(fieldAgent, "y")...),
		"too many entries":        count(fieldEntries, maxCount+1),
		"too many pings":          count(fieldPings, 1<<63),
		"too many topic peers":    count(fieldTopicPeers, 1<<31),
		"entries as text":         text(fieldEntries, "1"),
		"peers as a count":        count(fieldPeers, 1),
		"a group":                 protowire.AppendTag(nil, 9, protowire.StartGroupType),
		"a peer without ID":       told(count(fieldInMesh, 1)),
		"a peer whose ID is none": told(text(fieldID, "not a peer ID")),
		"a peer with a long ID":   told(text(fieldID, strings.Repeat("x", maxID+1))),
		"a peer with two IDs":     told(id, id),
		"a peer half in the mesh": told(id, count(fieldInMesh, 2)),
		"a peer on the moon":      told(id, count(fieldRTT, uint64(maxRTT.Microseconds())+1)),
		"a peer half silent":      told(id, count(fieldSilent, 2)),
		"too many addresses":      told(id, bytes.Repeat(text(fieldAddrs, "x"), maxAddrs+1)),
		"a long address":          told(id, text(fieldAddrs, strings.Repeat("x", maxAddr+1))),
		"an address that counts":  told(id, count(fieldAddrs, 1)),
		"a peer with a group":     told(id, protowire.AppendTag(nil, 9, protowire.EndGroupType)),
	} {
		if r, err := decodeReport(b); !errors.Is(err, errProtocol) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestLaterVersionsAreUnderstood(t *testing.T) {
	b := Report{Agent: "later"}.encode()
	for _, typ := range []protowire.Type{protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type, protowire.BytesType} {
		for range 2 {
			b = protowire.AppendTag(b, 9, typ)
			b = append(b, map[protowire.Type][]byte{
				protowire.VarintType: {1}, protowire.Fixed32Type: make([]byte, 4), protowire.Fixed64Type: make([]byte, 8), protowire.BytesType: {1, 2},
			}[typ]...)
		}
	}
	unread := protowire.AppendBytes(protowire.AppendTag(nil, fieldAddrs, protowire.BytesType), []byte{0xff, 0xff, 0xff})
	unread = append((Peer{ID: testID(t, 1)}).encode(), unread...)
	b = append(appendCount(b, fieldTopicPeers, 1), protowire.AppendTag(nil, fieldPeers, protowire.BytesType)...)
	b = protowire.AppendBytes(b, unread)
	if r, err := decodeReport(b); err != nil || r.Agent != "later" || len(r.Peers) != 1 || len(r.Peers[0].Addrs) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte{})
	f.Add(largest(f).encode())
	f.Add(Report{Agent: "x", TopicPeers: 1, Peers: []Peer{{ID: testID(f, 1), RTT: 1, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/tcp/5")}}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeReport(b)
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Fatal(err)
			}
			return
		}
		if len(r.Peers) > MaxPeers || len(r.Agent) > maxAgent {
			t.Fatalf("%d peers, an agent of %d bytes", len(r.Peers), len(r.Agent))
		}
		again := r.encode()
		if len(again) > maxAnswer {
			t.Fatalf("%d bytes", len(again))
		}
		if len(again) == 0 {
			return
		}
		back, err := decodeReport(again)
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Fatalf("%+v comes back as %+v, %v", r, back, err)
		}
	})
}
