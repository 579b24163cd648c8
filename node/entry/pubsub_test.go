package entry

import (
	"bytes"
	"context"
	"testing"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// TestPubsubSignsTheSame lets the real pubsub sign what Sign signs. Ed25519
// signatures are deterministic, so both have to arrive at the same bytes.
func TestPubsubSignsTheSame(t *testing.T) {
	pings := []Ping{{"hello", testTime}, {"wörld", testTime + 1}}
	m := published(t, testKey(t, 7), pings)

	want, err := Sign(testKey(t, 7), testTopic, [8]byte(m.GetSeqno()), pings)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, want.Raw) {
		t.Errorf("pubsub's message is\n%x, Sign's\n%x", raw, want.Raw)
	}
	got, err := FromMessage(m)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	if got, err = Parse(raw); err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
}

// TestSignedBytesArePubsubs compares with pubsub's way of making the bytes that
// it signs and verifies: the message's own Marshal, without signature and key.
func TestSignedBytesArePubsubs(t *testing.T) {
	key := testKey(t, 7)
	e := sign(t, Ping{"hello", testTime})
	var m pb.Message
	if err := proto.Unmarshal(e.Raw, &m); err != nil {
		t.Fatal(err)
	}
	signature := m.GetSignature()
	m.Signature = nil
	signed, err := proto.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := decoded(t, e.Raw).encode()
	if want := append([]byte(pubsub.SignPrefix), signed...); !bytes.Equal(ours, want) {
		t.Errorf("we sign\n%x, pubsub\n%x", ours, want)
	}
	ok, err := key.GetPublic().Verify(ours, signature)
	if err != nil || !ok {
		t.Errorf("libp2p does not verify our signature: %v, %v", ok, err)
	}
}

func TestFromMessage(t *testing.T) {
	e := sign(t, Ping{"hello", testTime})
	own, err := crypto.MarshalPublicKey(testKey(t, 7).GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*pb.Message)
		want   string // "" for the very same entry
	}{
		{"as it is", func(*pb.Message) {}, ""},
		{"with the author's key, as js-libp2p sends it", func(m *pb.Message) { m.Key = own }, ""},
		{"another key", func(m *pb.Message) { m.Key = own[1:] }, "key is not its author's"},
		{"no author", func(m *pb.Message) { m.From = nil }, "no Ed25519 identity"},
		{"no data", func(m *pb.Message) { m.Data = nil }, "0 pings"},
		{"too much data", func(m *pb.Message) { m.Data = make([]byte, MaxData+1) }, "65537 bytes"},
		{"no sequence number", func(m *pb.Message) { m.Seqno = nil }, "sequence number of 0"},
		{"short sequence number", func(m *pb.Message) { m.Seqno = m.Seqno[1:] }, "sequence number of 7"},
		{"no topic", func(m *pb.Message) { m.Topic = nil }, "topic of 0"},
		{"no signature", func(m *pb.Message) { m.Signature = nil }, "signature of 0"},
		{"unknown field", func(m *pb.Message) {
			m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.VarintType), 1))
		}, "unknown fields"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m pb.Message
			if err := proto.Unmarshal(e.Raw, &m); err != nil {
				t.Fatal(err)
			}
			tt.change(&m)
			got, err := FromMessage(&m)
			if tt.want != "" {
				wantInvalid(t, err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, e)
		})
	}
	if _, err := FromMessage(nil); err == nil {
		t.Error("no message is an entry")
	}
}

// published returns the message that a real pubsub publishes in key's name, as
// its validators see it.
func published(t *testing.T, key crypto.PrivKey, pings []Ping) *pb.Message {
	t.Helper()
	author, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := EncodeData(pings)
	if err != nil {
		t.Fatal(err)
	}
	host, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ps, err := pubsub.NewFloodSub(ctx, host)
	if err != nil {
		t.Fatal(err)
	}
	var message *pb.Message // validators of local messages run inside Publish
	err = ps.RegisterTopicValidator(testTopic, func(_ context.Context, _ peer.ID, m *pubsub.Message) bool {
		message = m.Message
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := ps.Join(testTopic)
	if err != nil {
		t.Fatal(err)
	}
	if err := topic.Publish(ctx, data, pubsub.WithSecretKeyAndPeerId(key, author)); err != nil {
		t.Fatal(err)
	}
	if message == nil {
		t.Fatal("the validator saw no message")
	}
	return message
}
