package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/api/client"
	"p2ping/node/ledger"
)

// event is one server-sent event.
type event struct {
	name, id, data string
	comment        bool
}

// stream is an open answer.
type stream struct {
	t      testing.TB
	answer *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

// open makes a request whose answer does not end.
func (a *testAPI) open(tb testing.TB, path string, headers ...string) *stream {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	answer, err := newDocumented(tb).RoundTrip(req) //nolint:bodyclose // stream.close closes it
	if err != nil {
		tb.Fatal(err)
	}
	s := &stream{t: tb, answer: answer, lines: bufio.NewScanner(answer.Body), cancel: cancel}
	tb.Cleanup(s.close)
	if answer.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(answer.Body)
		tb.Fatalf("%s: %s: %s", path, answer.Status, b)
	}
	return s
}

func (s *stream) close() {
	s.cancel()
	s.answer.Body.Close()
}

// next returns the next event. io.EOF is the clean end.
func (s *stream) next() (e event, err error) {
	for s.lines.Scan() {
		line := s.lines.Text()
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			return e, nil
		case name == "":
			e.comment = true
		case name == "event":
			e.name = value
		case name == "id":
			e.id = value
		case name == "data":
			e.data = value
		}
	}
	if err := s.lines.Err(); err != nil {
		return e, err
	}
	return e, io.EOF
}

// want returns the next event that has a name, which must be this one.
func (s *stream) want(name string) event {
	s.t.Helper()
	for {
		e, err := s.next()
		if err != nil {
			s.t.Fatalf("waiting for %q: %v", name, err)
		}
		if e.name == name {
			return e
		}
		if e.name != "" {
			s.t.Fatalf("got %+v, want %q", e, name)
		}
	}
}

func (s *stream) wantPing(text string) client.Ping {
	s.t.Helper()
	e := s.want("ping")
	var p client.Ping
	if err := json.Unmarshal([]byte(e.data), &p); err != nil || p.Text != text || p.Cursor != e.id {
		s.t.Fatalf("got %+v, want %q (%v)", e, text, err)
	}
	return p
}

func TestEventsResumeWhereTheyStopped(t *testing.T) {
	a := start(t)
	a.node.append(t, ledger.Gossip, time.Now(), "old")
	s := a.open(t, "/events")
	if got := s.answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("type %q", got)
	}
	first, err := s.next()
	if err != nil || !first.comment || first.id != a.node.cursor("2-0") || first.data != "" {
		t.Fatalf("the first event is %+v, %v", first, err)
	}
	a.node.append(t, ledger.Gossip, time.Now(), "a", "b", "c")
	s.wantPing("a")
	b := s.wantPing("b")
	s.wantPing("c")
	s.close()
	a.node.append(t, ledger.Gossip, time.Now(), "d")

	// Last-Event-ID counts for more than the URL, which a browser repeats.
	s = a.open(t, "/events?since=0", "Last-Event-ID", b.Cursor)
	s.wantPing("c")
	s.wantPing("d")
	s = a.open(t, "/events?since="+first.id)
	s.wantPing("a")
	s = a.open(t, "/events?since="+b.ID)
	s.wantPing("c")
	s = a.open(t, "/events?recent=2")
	s.wantPing("c")
	s.wantPing("d")
	s = a.open(t, "/events?since=1h")
	s.wantPing("old")
	s = a.open(t, "/events?topics=ping&since=0&author="+a.node.id.String())
	s.wantPing("old")
	s = a.open(t, "/pings?follow=1&recent=3")
	for _, want := range []string{"b", "c", "d"} {
		var p client.Ping
		if !s.lines.Scan() || json.Unmarshal(s.lines.Bytes(), &p) != nil || p.Text != want {
			t.Fatalf("got %s, want %s", s.lines.Bytes(), want)
		}
	}
}

// The last pings that arrived are shown also where cursors between them are of
// no ping any more: what came late was forgotten early.
func TestRecentPassesOverGaps(t *testing.T) {
	n := newFakeNode(t)
	l, err := ledger.Open(ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), NoSync: true, Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	n.ledger = l
	now := time.Now()
	n.append(t, ledger.Gossip, now, "a", "b")
	for _, text := range []string{"c", "d"} {
		for range 10 {
			n.append(t, ledger.CatchUp, now.Add(-2*time.Hour), "late")
		}
		n.append(t, ledger.Gossip, now, text)
	}
	if err := l.Prune(now); err != nil {
		t.Fatal(err)
	}
	a := serve(t, n, Config{Node: n, Gatherer: prometheus.NewRegistry(), Registerer: prometheus.NewRegistry()})
	for recent, want := range map[string]string{"1": "d", "2": "c", "3": "b", "4": "a", "5": "a", "1000": "a"} {
		a.open(t, "/events?recent="+recent).wantPing(want)
	}
}

func TestEventsRefuse(t *testing.T) {
	a := start(t)
	for path, want := range map[string]int{
		"/events?topics=x": 400, "/events?since=x": 400, "/events?author=x": 400, "/events?recent=0": 400, "/events?limit=1": 400,
		"/events?since=": 400, "/pings?follow=1&since=": 400, "/events?since=" + strings.Repeat("a", 64): 404,
	} {
		if answer, body := a.do(t, "GET", path, ""); answer.StatusCode != want {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
	}
	if answer, _ := a.do(t, "GET", "/events", "", "Last-Event-ID", "x"); answer.StatusCode != 400 {
		t.Errorf("a bad Last-Event-ID: %d", answer.StatusCode)
	}
}

func TestAGapIsTold(t *testing.T) {
	a := start(t)
	now := time.Now()
	for i := range 4 {
		a.node.append(t, ledger.Gossip, now.Add(time.Duration(i-4)*time.Hour), fmt.Sprint(i))
	}
	// Retention takes the first two: 3h30m is between them and the others.
	pruned := reopen(t, a.node, 150*time.Minute)
	b := serve(t, pruned, Config{Node: pruned})

	gap := func(s *stream) client.Gap {
		t.Helper()
		var g client.Gap
		e := s.want("gap")
		if err := json.Unmarshal([]byte(e.data), &g); err != nil || e.id != g.To {
			t.Fatalf("got %+v", e)
		}
		return g
	}
	s := b.open(t, "/events?since=2-0") // has had one of four
	if g := gap(s); g != (client.Gap{From: pruned.cursor("2-0"), To: pruned.cursor("3-0"), Reason: client.GapForgotten}) {
		t.Errorf("got %+v", g)
	}
	s.wantPing("2")
	s.wantPing("3")
	s = b.open(t, "/events?since=3-0") // has had what was forgotten
	s.wantPing("2")
	s = b.open(t, "/events?since=0") // asks for what there is
	s.wantPing("2")
	s = b.open(t, "/events?since=99-0") // is of another ledger
	if g := gap(s); g != (client.Gap{From: "99-0", To: "0-0", Reason: client.GapOtherLedger}) {
		t.Errorf("got %+v", g)
	}
	s.wantPing("2")
	s = b.open(t, "/pings?follow=1&since=1-0")
	if want := `{"gap":{"from":"1-0","to":"` + pruned.cursor("3-0") + `","reason":"forgotten"}}`; !s.lines.Scan() || s.lines.Text() != want {
		t.Errorf("got %s, want %s", s.lines.Text(), want)
	}
}

// reopen opens a copy of the node's ledger with another retention, and prunes.
func reopen(tb testing.TB, n *fakeNode, retention time.Duration) *fakeNode {
	tb.Helper()
	l, err := ledger.Open(ledger.Config{Path: tb.TempDir() + "/ledger.db", Retention: retention, NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	records, err := n.ledger.After(0, 1000)
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range records {
		if _, err := l.Append(tb.Context(), r.Via, r.Entry); err != nil {
			tb.Fatal(err)
		}
	}
	if err := l.Prune(time.Now()); err != nil {
		tb.Fatal(err)
	}
	return &fakeNode{key: n.key, id: n.id, ledger: l}
}

// TestAReaderThatKeepsBreakingOffMissesNothing has a consumer cut its stream
// at random places while pings flow, and go on from its last cursor.
func TestAReaderThatKeepsBreakingOffMissesNothing(t *testing.T) {
	const pings, least = 10_000, 50
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	a := start(t)
	var want []string
	var batches [][]string
	for len(want) < pings {
		var batch []string
		for range 1 + random.IntN(5) {
			batch = append(batch, fmt.Sprint("ping ", len(want)))
			want = append(want, batch[len(batch)-1])
		}
		batches = append(batches, batch)
	}
	var flow sync.WaitGroup
	flow.Go(func() {
		for _, batch := range batches {
			a.node.append(t, ledger.Gossip, time.Now(), batch...)
		}
	})
	cursor, seen, restarts := "0", []string{}, 0
	for len(seen) < len(want) {
		s := a.open(t, "/events?topics=ping", "Last-Event-ID", cursor)
		for range min(1+random.IntN(pings/least), len(want)-len(seen)) {
			var p client.Ping
			e := s.want("ping")
			if err := json.Unmarshal([]byte(e.data), &p); err != nil {
				t.Fatal(err)
			}
			seen, cursor = append(seen, p.Text), e.id
		}
		s.close()
		restarts++
	}
	flow.Wait()
	if !slices.Equal(seen, want) {
		t.Errorf("saw %d pings, not the %d in their order", len(seen), len(want))
	}
	if restarts < least {
		t.Errorf("only %d restarts", restarts)
	}
}

func TestHeartbeats(t *testing.T) {
	a := start(t)
	a.server.heartbeat = time.Millisecond // before the first request
	s := a.open(t, "/events?author="+a.node.id.String())
	a.node.append(t, ledger.Gossip, time.Now(), "mine")
	for e := (event{}); e.id != a.node.cursor("2-0") || !e.comment; {
		var err error
		if e, err = s.next(); err != nil {
			t.Fatal(err)
		}
	}
	s = a.open(t, "/pings?follow=1")
	if !s.lines.Scan() || s.lines.Text() != "" {
		t.Errorf("got %q", s.lines.Text())
	}
	s = a.open(t, "/events?topics=peer")
	for range 3 {
		if e, err := s.next(); err != nil || !e.comment || e.id != "" {
			t.Errorf("got %+v, %v", e, err)
		}
	}
}

// TestALongStretchOfOtherAuthorsPings has readers ask for one author's pings in
// a ledger that has none.
func TestALongStretchOfOtherAuthorsPings(t *testing.T) {
	a := start(t)
	a.server.heartbeat = time.Nanosecond // before the first request: every step is late for one
	for range 2*followBatch + 1 {
		a.node.append(t, ledger.Gossip, time.Now(), "x")
	}
	other, err := peer.IDFromPrivateKey(testKey(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	path := "/events?topics=ping&since=0&author=" + other.String()
	s := a.open(t, path)
	for _, want := range []string{"0-0", a.node.cursor(fmt.Sprint(followBatch+1, "-0")), a.node.cursor(fmt.Sprint(2*followBatch+1, "-0"))} {
		if e, err := s.next(); err != nil || !e.comment || e.id != want {
			t.Fatalf("got %+v, %v, want a beat at %s", e, err, want)
		}
	}
	s.close()

	// One who goes away is noticed on the way.
	ctx, leave := context.WithCancel(t.Context())
	w := &leavingWriter{ResponseRecorder: httptest.NewRecorder(), leave: leave}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, a.url+path, nil)
	if err := a.server.getEvents(w, r); err != nil {
		t.Fatal(err)
	}
	if got := w.Body.String(); strings.Count(got, "id: ") != 2 {
		t.Errorf("to one who left at the second beat was written:\n%s", got)
	}
}

// leavingWriter is a client that goes away when it gets its second write.
type leavingWriter struct {
	*httptest.ResponseRecorder
	leave  func()
	writes int
}

func (w *leavingWriter) Write(b []byte) (int, error) {
	if w.writes++; w.writes == 2 {
		w.leave()
	}
	return w.ResponseRecorder.Write(b)
}

func TestStreamsEndCleanlyWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Node: newFakeNode(t)})
		if err != nil {
			t.Fatal(err)
		}
		paths := []string{"/events", "/pings?follow=1"}
		l := newPipeListener(len(paths))
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, l) }()
		var streams []io.Reader
		for _, path := range paths {
			conn := l.dial()
			defer conn.Close()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", path, answer.Status)
			}
			streams = append(streams, answer.Body)
		}
		stop()
		for i, body := range streams {
			if _, err := io.ReadAll(body); err != nil {
				t.Errorf("%s: %v", paths[i], err)
			}
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	})
}

func TestAStalledReaderIsCutOffAndHoldsNobodyUp(t *testing.T) {
	n := newFakeNode(t)
	a := serve(t, n, Config{Node: n})
	impatient := serve(t, n, Config{Node: n, MaxStreams: 1})
	impatient.server.stall = time.Second // not less: the header has to go out in that time
	stalled := impatient.open(t, "/events?since=0")
	reading := a.open(t, "/events?since=0")
	// More than the sockets' buffers hold.
	text := strings.Repeat("x", 4000)
	const entries = 400
	go func() {
		for range entries {
			var texts []string
			for range 10 {
				texts = append(texts, text)
			}
			a.node.append(t, ledger.Gossip, time.Now(), texts...)
		}
	}()
	for range entries * 10 {
		reading.wantPing(text)
	}
	impatient.server.streams <- struct{}{} // waits until the stalled one's handler has let go
	<-impatient.server.streams
	var err error
	for err == nil {
		_, err = stalled.next()
	}
	if errors.Is(err, io.EOF) {
		t.Error("the stalled reader's stream ended as if it were whole")
	}
}

func TestStreamsAreCounted(t *testing.T) {
	a := start(t, func(cfg *Config) { cfg.MaxStreams = 2 })
	one := a.open(t, "/events")
	a.open(t, "/pings?follow=1")
	answer, body := a.do(t, "GET", "/events", "")
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	checkProblem(t, answer, body)
	one.close()
	a.server.streams <- struct{}{} // waits until the place is free
	<-a.server.streams
	a.open(t, "/events").close()
}
