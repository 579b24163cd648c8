package api

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

const testTopic = "test"

// fakeNode is a node without a network: it signs for itself and keeps a real
// ledger.
type fakeNode struct {
	key    crypto.PrivKey
	id     peer.ID
	ledger *ledger.Ledger
	seqno  atomic.Uint64

	// fail, when set, is what Publish and Connect return.
	fail atomic.Pointer[error]
	// onPublish, when set before the node is used, runs in every Publish.
	onPublish func()
	notReady  []string
	receipts  []node.Receipt
}

// testKey returns the same identity for the same seed.
func testKey(tb testing.TB, seed byte) crypto.PrivKey {
	tb.Helper()
	std := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize)))
	key, err := crypto.UnmarshalEd25519PrivateKey(std)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newFakeNode(tb testing.TB) *fakeNode {
	tb.Helper()
	l, err := ledger.Open(ledger.Config{Path: filepath.Join(tb.TempDir(), "ledger.db"), NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	n := &fakeNode{key: testKey(tb, 0), ledger: l}
	if n.id, err = peer.IDFromPrivateKey(n.key); err != nil {
		tb.Fatal(err)
	}
	return n
}

func (n *fakeNode) Info() (node.Info, error) {
	key, err := crypto.MarshalPublicKey(n.key.GetPublic())
	return node.Info{
		PeerID:    n.id,
		PublicKey: key,
		Addresses: []string{"/ip4/127.0.0.1/tcp/6001/p2p/" + n.id.String()},
		Topic:     testTopic,
		Agent:     "p2ping/test",
		Version:   "test",
		StartedAt: time.Unix(1700000000, 123456000),
		Reached:   []node.Reach{{From: node.FromInternet, At: time.Unix(1700000001, 0)}},
	}, err
}

func (n *fakeNode) Peers() []node.PeerInfo {
	return []node.PeerInfo{{PeerID: n.id, Direction: "inbound", Transport: "quic-v1", RTT: 1500 * time.Microsecond, OnTopic: true}}
}

func (n *fakeNode) Connect(context.Context, string) (peer.ID, error) {
	if err := n.fail.Load(); err != nil {
		return "", *err
	}
	return n.id, nil
}

func (n *fakeNode) Readiness() node.Readiness {
	return node.Readiness{Ready: n.notReady == nil, Reasons: n.notReady}
}

func (n *fakeNode) Sync() (node.SyncState, error) {
	digest, state, err := n.ledger.Digest()
	return node.SyncState{State: state, Digest: digest}, err
}

func (n *fakeNode) Ledger() *ledger.Ledger { return n.ledger }

// cursor returns a position as the node tells it.
func (n *fakeNode) cursor(at string) string { return at + "-" + n.ledger.State().Epoch.String() }

func (n *fakeNode) Publish(ctx context.Context, text string) (node.Published, error) {
	published, err := n.PublishAll(ctx, []entry.Ping{{Text: text}})
	if err != nil {
		return node.Published{}, err
	}
	return published[0], nil
}

// publish makes one entry of pings.
func (n *fakeNode) publish(ctx context.Context, pings []entry.Ping) ([]node.Published, error) {
	var seqno [8]byte
	binary.BigEndian.PutUint64(seqno[:], n.seqno.Add(1))
	e, err := entry.Sign(n.key, testTopic, seqno, pings)
	if err != nil {
		return nil, err
	}
	records, err := n.ledger.Append(ctx, ledger.Own, e)
	if err != nil {
		return nil, err
	}
	published := make([]node.Published, len(pings))
	for i, p := range pings {
		published[i] = node.Published{
			Entry: e.ID, Index: i, Text: p.Text, Author: n.id, SentAt: p.Time(), TopicPeers: 2, Cursor: records[0].Cursor,
		}
	}
	return published, nil
}

// CameFrom says that one and the same peer brings everything.
func (n *fakeNode) CameFrom(entry.Key) peer.ID { return n.id }

// Receipts gives as many as the fake was told to, then waits for the end.
func (n *fakeNode) Receipts(ctx context.Context, _ node.Published, want int) []node.Receipt {
	got := n.receipts[:min(want, len(n.receipts))]
	if len(got) < want {
		<-ctx.Done()
	}
	return got
}

func (n *fakeNode) PublishAll(ctx context.Context, pings []entry.Ping) ([]node.Published, error) {
	if n.onPublish != nil {
		n.onPublish()
	}
	if err := n.fail.Load(); err != nil {
		return nil, *err
	}
	pings = slices.Clone(pings)
	for i, p := range pings {
		if p.SentAt == 0 {
			pings[i].SentAt = time.Now().UnixMicro()
		}
	}
	return n.publish(ctx, pings)
}

// sign makes an entry of texts at the time at.
func (n *fakeNode) sign(at time.Time, texts ...string) (*entry.Entry, error) {
	var seqno [8]byte
	binary.BigEndian.PutUint64(seqno[:], n.seqno.Add(1))
	pings := make([]entry.Ping, len(texts))
	for i, text := range texts {
		pings[i] = entry.Ping{Text: text, SentAt: at.UnixMicro() + int64(i)}
	}
	return entry.Sign(n.key, testTopic, seqno, pings)
}

// failWith makes Publish and Connect fail until called with nil.
func (n *fakeNode) failWith(err error) {
	if err == nil {
		n.fail.Store(nil)
		return
	}
	n.fail.Store(&err)
}

// texts returns the texts in the ledger in order of arrival.
func (n *fakeNode) texts(tb testing.TB) []string {
	tb.Helper()
	records, err := n.ledger.After(0, 1_000_000)
	if err != nil {
		tb.Fatal(err)
	}
	texts := []string{}
	for _, r := range records {
		for _, p := range r.Entry.Pings {
			texts = append(texts, p.Text)
		}
	}
	return texts
}

// testAPI is a real server on a real socket, with a real client.
type testAPI struct {
	*client.Client
	node   *fakeNode
	server *Server
	url    string
}

// start serves a fake node. configure may change the configuration.
func start(tb testing.TB, configure ...func(*Config)) *testAPI {
	tb.Helper()
	n := newFakeNode(tb)
	registry := prometheus.NewRegistry()
	cfg := Config{Node: n, Gatherer: registry, Registerer: registry}
	for _, c := range configure {
		c(&cfg)
	}
	return serve(tb, n, cfg)
}

func serve(tb testing.TB, n *fakeNode, cfg Config) *testAPI {
	tb.Helper()
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := Listen(tb.Context(), "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	a := &testAPI{node: n, server: s, url: "http://" + l.Addr().String()}
	if a.Client, err = client.New(client.Config{URL: a.url, Token: cfg.Token, HTTP: &http.Client{Transport: newDocumented(tb)}}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		a.Close()
		stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// reply is an answer whose body was read.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// do makes a raw request of method, path, body and header pairs, and reads the
// whole answer.
func (a *testAPI) do(tb testing.TB, method, path, body string, headers ...string) (reply, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, a.url+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	answer, err := newDocumented(tb).RoundTrip(req)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{answer.StatusCode, answer.Status, answer.Header}, string(b)
}

// wantError returns err as a node's refusal with the status.
func wantError(tb testing.TB, err error, status int) *client.Error {
	tb.Helper()
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Status != status {
		tb.Fatalf("got %v, want a refusal with status %d", err, status)
	}
	return e
}

// A node of package node is what the API asks for.
var _ Node = (*node.Node)(nil)
