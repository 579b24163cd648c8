package node

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// openLedger opens a new ledger, which startNode closes.
func openLedger(t *testing.T, retention time.Duration) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Retention: retention, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startNode runs a node on h until the test's end.
func startNode(t *testing.T, h host.Host, cfg Config) *Node {
	t.Helper()
	if cfg.Ledger == nil {
		cfg.Ledger = openLedger(t, 0)
	}
	l := cfg.Ledger
	cfg.Host, cfg.Logger = h, testLogger(t)
	n, err := New(cfg)
	if err != nil {
		t.Fatal(errors.Join(err, l.Close()))
	}
	ran := make(chan error, 1)
	go func() { ran <- n.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), <-ran, h.Close(), l.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestReceiptsNameWhoStoredThePing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		hub := startNode(t, s.host(1, newKey(t)), Config{})
		for i := range 2 {
			leaf := s.host(2+i, newKey(t))
			startNode(t, leaf, Config{})
			connectHosts(t, leaf, hub.host)
		}
		// A member of the topic that keeps no ledger gives no receipts.
		stranger := s.host(9, newKey(t))
		joinTopic(t, stranger, DefaultTopic)
		connectHosts(t, stranger, hub.host)
		time.Sleep(2 * time.Second)

		p, err := hub.Publish(t.Context(), "who has this?")
		if err != nil || p.TopicPeers != 3 {
			t.Fatalf("Publish = %+v, %v: want it sent to 3 peers", p, err)
		}
		got := hub.Receipts(t.Context(), p, 2)
		if len(got) != 2 || got[0].PeerID == got[1].PeerID || got[0].PeerID == stranger.ID() {
			t.Errorf("Receipts(2) = %v: want the two nodes", got)
		}
		for _, r := range got {
			// 10 ms each way, and nothing but the wire takes time here.
			if r.Latency < 20*time.Millisecond || r.Latency > 200*time.Millisecond {
				t.Errorf("%s took %s, want about a round trip of 20ms", r.PeerID, r.Latency)
			}
		}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if got := hub.Receipts(ctx, p, 3); len(got) != 2 || time.Since(start) != 3*time.Second {
			t.Errorf("Receipts(3) with 2 nodes = %v after %s: want 2 when the time is up", got, time.Since(start))
		}
	})
}

// TestPublishOfANodeThatNeverRan closes a node instead of running it: nobody waits
// for it any more.
func TestPublishOfANodeThatNeverRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLedger(t, 0)
		n, err := New(Config{Host: newSimulated(t).host(1, newKey(t)), Ledger: l})
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := n.Publish(ctx, "too early")
			waits <- err
		}()
		time.Sleep(time.Second)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waits; !errors.Is(err, ErrStopped) {
			t.Errorf("what waited for the node to run: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.Publish(ctx, "too late"); !errors.Is(err, ErrStopped) {
			t.Errorf("what came after it was closed: %v", err)
		}
		if err := errors.Join(n.host.Close(), l.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestReceiptsWaitForPeersToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		first := startNode(t, s.host(1, newKey(t)), Config{})
		p, err := first.Publish(t.Context(), "anybody?")
		if err != nil || p.TopicPeers != 0 {
			t.Fatalf("Publish = %+v, %v: want it stored, and sent to nobody", p, err)
		}
		got := make(chan []Receipt)
		go func() { got <- first.Receipts(t.Context(), p, 1) }()
		time.Sleep(time.Second)
		second := startNode(t, s.host(2, newKey(t)), Config{})
		connectHosts(t, second.host, first.host)
		if got := <-got; len(got) != 1 || got[0].PeerID != second.host.ID() {
			t.Errorf("Receipts = %v: want the node that came later", got)
		}
		record, err := second.Ledger().Get(p.key)
		if err != nil || record.Via != ledger.CatchUp {
			t.Errorf("the node that came later has %+v, %v: want the ping, by catch-up", record, err)
		}
	})
}

// TestReceiptsAskWhoComesBack has a peer lose its connection while it is waited for,
// and come back.
func TestReceiptsAskWhoComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		author := startNode(t, s.host(1, newKey(t)), Config{})
		other := s.host(2, newKey(t))
		joinTopic(t, other, DefaultTopic)
		var asked atomic.Int32
		other.SetStreamHandler(receiptProtocol, func(s network.Stream) {
			if asked.Add(1) == 1 {
				io.Copy(io.Discard, s) // until it breaks
				return
			}
			s.Write([]byte{receiptStored})
			s.Close()
		})
		connectHosts(t, other, author.host)
		time.Sleep(time.Second)
		p, err := author.Publish(t.Context(), "who has this?")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan []Receipt)
		go func() { got <- author.Receipts(t.Context(), p, 1) }()
		time.Sleep(time.Second)
		other.Network().ClosePeer(author.host.ID())
		time.Sleep(time.Second)
		connectHosts(t, other, author.host)
		if got := <-got; len(got) != 1 || got[0].PeerID != other.ID() {
			t.Errorf("Receipts = %v, asked %d times: want the one that came back", got, asked.Load())
		}
	})
}

// TestReceiptRequestsAreBounded has others wait for receipts at a node.
func TestReceiptRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t)
		hub := startNode(t, s.host(1, newKey(t)), Config{})
		asker := startNode(t, s.host(2, newKey(t)), Config{})
		connectHosts(t, asker.host, hub.host)
		time.Sleep(2 * time.Second)
		p, err := asker.Publish(t.Context(), "who has this?")
		if err != nil {
			t.Fatal(err)
		}
		places := hub.receipts.places
		take := func(name string, member bool) (got int) {
			for i := range maxReceiptWaits {
				if places.Take(peer.ID(strings.ReplaceAll(name, "#", strconv.Itoa(i))), member) {
					got++
				}
			}
			return got
		}
		if n := take("one stranger", false); n != maxPeerReceiptWaits {
			t.Errorf("one peer got %d waits, not %d", n, maxPeerReceiptWaits)
		}
		if n := take("stranger #", false); n != maxReceiptWaits/2-maxPeerReceiptWaits {
			t.Errorf("strangers got %d waits more", n)
		}
		if err := asker.receipts.askOne(t.Context(), p.key, hub.host.ID()); err != nil {
			t.Errorf("strangers take a member's place: %v", err)
		}
		if n := take("member #", true); n != maxReceiptWaits/2 {
			t.Errorf("members got %d waits, not %d", n, maxReceiptWaits/2)
		}
		if asker.receipts.askOne(t.Context(), p.key, hub.host.ID()) == nil {
			t.Errorf("all peers together got more than %d waits", maxReceiptWaits)
		}
	})
}

func FuzzDecodeReceiptRequest(f *testing.F) {
	f.Add(entry.Key{Time: 1}.Append(nil))
	f.Add(append(entry.Key{Time: 1}.Append(nil), 0, 0, 3, 0xe8))
	f.Add(append(entry.LastKey().Append(nil), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, wait, err := decodeReceiptRequest(b)
		if err != nil {
			return
		}
		if key.Time < 0 || wait < 0 || wait > MaxReceiptWait {
			t.Errorf("decoded %x to %v, %s: out of bounds", b, key, wait)
		}
	})
}

func TestValidate(t *testing.T) {
	author := newKey(t)
	now := time.Now()
	message := func(pings ...entry.Ping) *pb.Message {
		e, err := entry.Sign(author, DefaultTopic, [8]byte{1}, pings)
		if err != nil {
			t.Fatal(err)
		}
		m := &pb.Message{}
		if err := proto.Unmarshal(e.Raw, m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	at := func(age time.Duration) entry.Ping { return entry.Ping{Text: "x", SentAt: now.Add(-age).UnixMicro()} }
	garbled := message(at(0))
	garbled.Data = []byte("garbage")
	bare := &pb.Message{}

	l := openLedger(t, time.Hour)
	n := startNode(t, startHost(t, HostConfig{}), Config{Ledger: l})
	if err := l.Prune(now); err != nil {
		t.Fatal(err)
	}
	held, err := entry.FromMessage(message(at(time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), ledger.Gossip, held); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name    string
		message *pb.Message
		want    pubsub.ValidationResult
	}{
		{"good", message(at(0)), pubsub.ValidationAccept},
		{"an hour ahead", message(at(-time.Hour)), pubsub.ValidationAccept},
		{"not yet", message(at(-25 * time.Hour)), pubsub.ValidationIgnore},
		{"below the floor", message(at(3 * time.Hour)), pubsub.ValidationIgnore},
		{"held", message(at(time.Second)), pubsub.ValidationIgnore},
		{"garbled", garbled, pubsub.ValidationReject},
		{"empty", bare, pubsub.ValidationReject},
		{"nothing", nil, pubsub.ValidationReject},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := n.validate(t.Context(), "a peer", &pubsub.Message{Message: tt.message})
			if got != tt.want {
				t.Errorf("validate = %v, want %v", got, tt.want)
			}
		})
	}

	broken := &Node{host: n.host, logger: n.logger, metrics: n.metrics, catchup: n.catchup, now: n.now} // no ledger
	if got := broken.validate(t.Context(), "a peer", &pubsub.Message{Message: message(at(0))}); got != pubsub.ValidationIgnore {
		t.Errorf("validate = %v after a panic, want it ignored", got)
	}
}

// A ping of our own that a peer has brought back, before it was stored here, is
// published all the same.
func TestOwnPingThatCameBackFirst(t *testing.T) {
	now := time.Now()
	l := openLedger(t, time.Hour)
	n := startNode(t, startHost(t, HostConfig{}), Config{Ledger: l})
	if err := l.Prune(now); err != nil {
		t.Fatal(err)
	}
	sign := func(age time.Duration) *entry.Entry {
		e, err := entry.Sign(newKey(t), DefaultTopic, [8]byte{1}, []entry.Ping{{Text: "x", SentAt: now.Add(-age).UnixMicro()}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	back := sign(0)
	records, err := l.Append(t.Context(), ledger.CatchUp, back)
	if err != nil {
		t.Fatal(err)
	}
	if cursor, err := n.storeOwn(t.Context(), back); err != nil || cursor != records[0].Cursor {
		t.Errorf("got cursor %d, want %d: %v", cursor, records[0].Cursor, err)
	}
	if cursor, err := n.storeOwn(t.Context(), sign(0)); err != nil || cursor != records[0].Cursor+1 {
		t.Errorf("got cursor %d, want %d: %v", cursor, records[0].Cursor+1, err)
	}
	if cursor, err := n.storeOwn(t.Context(), sign(3*time.Hour)); err == nil {
		t.Errorf("got cursor %d for what is below the floor", cursor)
	}
}

func TestNewRefuses(t *testing.T) {
	rsa, _, err := crypto.GenerateKeyPair(crypto.RSA, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		host HostConfig
		cfg  Config
		want string
	}{
		{"a long topic", HostConfig{}, Config{Topic: strings.Repeat("x", entry.MaxTopic+1)}, "topic"},
		{"an RSA identity", HostConfig{Key: rsa}, Config{}, "Ed25519"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Host = startHost(t, tt.host)
			if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want an error about %s", err, tt.want)
			}
		})
	}
}
