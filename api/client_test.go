package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

func TestClientPublishes(t *testing.T) {
	a := startWithKeys(t)
	a.node.receipts = []node.Receipt{{PeerID: "x", Latency: time.Millisecond}}
	p, err := a.Publish(t.Context(), client.Request{Text: "x", Key: "k", Receipts: 2, Timeout: time.Millisecond})
	if err != nil || p.Text != "x" || len(p.Receipts) != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	again, err := a.Publish(t.Context(), client.Request{Text: "x", Key: "k"})
	if err != nil || again.ID != p.ID || !again.SentAt.Equal(p.SentAt.Time) || again.Author != p.Author {
		t.Errorf("got %+v, %v", again, err)
	}
	_, err = a.Publish(t.Context(), client.Request{Text: "y", Key: "k"})
	wantError(t, err, http.StatusUnprocessableEntity)
}

func TestClientSendsMany(t *testing.T) {
	a := startWithKeys(t)
	pings := func(n int) iter.Seq[client.NewPing] {
		return func(yield func(client.NewPing) bool) {
			for i := range n {
				if !yield(client.NewPing{Text: fmt.Sprint(i)}) {
					return
				}
			}
		}
	}
	n := 0
	for r, err := range a.Send(t.Context(), pings(3000)) {
		if err != nil || r.Error != nil || r.Text != fmt.Sprint(n) || r.Line != n+1 {
			t.Fatalf("ping %d: %+v, %v", n, r, err)
		}
		n++
	}
	if n != 3000 {
		t.Errorf("%d results", n)
	}
	for r, err := range a.Send(t.Context(), pings(5)) {
		if err != nil || r.Error != nil {
			t.Fatal(r, err)
		}
		break // ends the request
	}
	results := 0
	for _, err := range a.Send(t.Context(), pings(0)) {
		t.Error(err)
		results++
	}
	if results != 0 {
		t.Errorf("%d results for nothing", results)
	}
}

func TestClientReadsHistory(t *testing.T) {
	a := start(t)
	for i := range 10 {
		a.node.append(t, ledger.Gossip, time.Now().Add(time.Duration(i-10)*time.Minute), fmt.Sprint(i))
	}
	page, err := a.Pings(t.Context(), client.Query{Limit: 4})
	if err != nil || !slices.Equal(textsOf(page.Pings), []string{"6", "7", "8", "9"}) {
		t.Fatalf("got %+v, %v", page, err)
	}
	page, err = a.Next(t.Context(), page)
	if err != nil || !slices.Equal(textsOf(page.Pings), []string{"2", "3", "4", "5"}) {
		t.Fatalf("got %+v, %v", page, err)
	}
	page, err = a.Next(t.Context(), page)
	if err != nil || !slices.Equal(textsOf(page.Pings), []string{"0", "1"}) || page.Next != "" {
		t.Fatalf("got %+v, %v", page, err)
	}
	if _, err := a.Next(t.Context(), page); err == nil {
		t.Error("there is a page after the last")
	}
	var got []client.Ping
	for p, err := range a.History(t.Context(), client.Query{Since: "6m30s", Until: "3m30s"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if !slices.Equal(textsOf(got), []string{"4", "5", "6"}) {
		t.Errorf("got %+v", got)
	}
	for _, err := range a.History(t.Context(), client.Query{Since: "x"}) {
		wantError(t, err, http.StatusBadRequest)
	}
}

// TestClientReadsAsManyAsAreWanted asks for more than fit into a page.
func TestClientReadsAsManyAsAreWanted(t *testing.T) {
	a := start(t)
	const all, wanted = 1010, 1000
	begin := time.Now().Add(-time.Hour)
	for i := 0; i < all; i += 10 {
		var texts []string
		for k := range 10 {
			texts = append(texts, fmt.Sprintf("%04d%s", i+k, strings.Repeat("x", entry.MaxText-4)))
		}
		a.node.append(t, ledger.Gossip, begin.Add(time.Duration(i)*time.Second), texts...)
	}
	if page, err := a.Pings(t.Context(), client.Query{Limit: wanted}); err != nil || len(page.Pings) == wanted {
		t.Fatalf("a page has %d, %v: the test tests nothing", len(page.Pings), err)
	}
	next := all - wanted
	for p, err := range a.History(t.Context(), client.Query{Limit: wanted}) {
		if err != nil || p.Text[:4] != fmt.Sprintf("%04d", next) {
			t.Fatalf("got %.4s, %v; want %d", p.Text, err, next)
		}
		next++
	}
	if next != all {
		t.Errorf("%d are missing", all-next)
	}
}

// TestFollowLivesThroughRestarts restarts server and ledger under a client that
// follows, while pings flow.
func TestFollowLivesThroughRestarts(t *testing.T) {
	const pings, restarts = 100, 8
	dir := t.TempDir()
	n := &fakeNode{key: testKey(t, 0)}
	// run is one life of the node, which ends when seen is closed.
	run := func(seen <-chan struct{}, texts ...string) {
		var err error
		n.ledger, err = ledger.Open(ledger.Config{Path: dir + "/ledger.db", NoSync: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer n.ledger.Close()
		s, err := New(Config{Node: n})
		if err != nil {
			t.Error(err)
			return
		}
		l, err := Listen(t.Context(), "unix:"+dir+"/api.sock")
		if err != nil {
			t.Error(err)
			return
		}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := s.Serve(ctx, l); err != nil {
				t.Error(err)
			}
		})
		for _, text := range texts {
			n.append(t, ledger.Gossip, time.Now(), text, text+"'")
		}
		<-seen
		stop()
		serving.Wait()
	}
	seen := make(map[string]chan struct{}) // by the text that ends a life
	var lives sync.WaitGroup
	var plan [][]string
	var want []string
	for life := range restarts {
		var texts []string
		for i := range pings {
			texts = append(texts, fmt.Sprint(life, ".", i))
			want = append(want, texts[i], texts[i]+"'")
		}
		plan = append(plan, texts)
		// The client has not read everything when the node goes, but in the end.
		last := texts[pings/2]
		if life == restarts-1 {
			last = want[len(want)-1]
		}
		seen[last] = make(chan struct{})
		plan[life] = append(plan[life], last)
	}
	lives.Go(func() {
		for _, texts := range plan {
			n := len(texts) - 1
			run(seen[texts[n]], texts[:n]...)
		}
	})
	c, err := client.New(client.Config{URL: "unix:" + dir + "/api.sock"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	broken := 0
	var got []string
	query := client.FollowQuery{Since: "0", Broken: func(error, time.Duration) { broken++ }}
	for e, err := range patiently(t.Context(), c, query) {
		if err != nil || e.Ping == nil {
			t.Fatalf("got %+v, %v", e, err)
		}
		got = append(got, e.Ping.Text)
		if done := seen[e.Ping.Text]; done != nil {
			close(done)
		}
		if len(got) == len(want) {
			break
		}
	}
	lives.Wait()
	if !slices.Equal(got, want) {
		t.Errorf("saw %d pings, not the %d in their order", len(got), len(want))
	}
	if broken < restarts-1 {
		t.Errorf("the stream broke %d times", broken)
	}
}

// patiently follows a node that may not be there the first time.
func patiently(ctx context.Context, c *client.Client, q client.FollowQuery) iter.Seq2[client.Event, error] {
	return func(yield func(client.Event, error) bool) {
		for {
			for e, err := range c.Follow(ctx, q) {
				if errors.Is(err, client.ErrUnreachable) || err != nil && e.Ping == nil && ctx.Err() == nil && !isRefusal(err) {
					break
				}
				if !yield(e, err) {
					return
				}
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*client.Error](err)
	return ok
}

func TestFollowEndsWithItsContextAndAtRefusals(t *testing.T) {
	a := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a.node.append(t, ledger.Gossip, time.Now(), "x")
	events := 0
	for e, err := range a.Follow(ctx, client.FollowQuery{Recent: 1}) {
		events++
		if events == 1 {
			if err != nil || e.Ping == nil || e.Ping.Text != "x" {
				t.Fatalf("got %+v, %v", e, err)
			}
			cancel()
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %+v, %v", e, err)
		}
	}
	if events != 2 {
		t.Errorf("%d events", events)
	}
	for _, err := range a.Follow(t.Context(), client.FollowQuery{Since: "x"}) {
		wantError(t, err, http.StatusBadRequest)
	}
	nobody, err := client.New(client.Config{URL: "unix:" + t.TempDir() + "/none"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range nobody.Follow(t.Context(), client.FollowQuery{}) {
		if !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
	}
}

func TestFollowTellsOfGapsPeersAndComparisons(t *testing.T) {
	n := &movingNode{fakeNode: newFakeNode(t)}
	a := serve(t, n.fakeNode, Config{Node: n})
	a.server.watch.interval = time.Millisecond
	var kinds []string
	for e, err := range a.Follow(t.Context(), client.FollowQuery{Since: "77", Topics: []string{"ping", "peer"}}) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Gap != nil:
			kinds = append(kinds, "gap")
			n.set([]node.PeerInfo{{PeerID: "x"}}, nil)
		case e.Peer != nil:
			kinds = append(kinds, e.Peer.Change)
		}
		if len(kinds) == 2 {
			break
		}
	}
	if !slices.Equal(kinds, []string{"gap", client.PeerConnected}) {
		t.Errorf("got %q", kinds)
	}
}
