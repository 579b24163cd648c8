package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// startSender serves a node that is a Sender, with a store for keys.
func startSender(t testing.TB, configure ...func(*Config)) *testAPI {
	t.Helper()
	n := newFakeNode(t)
	cfg := Config{Node: sender{n}, KeysPath: t.TempDir() + "/keys.db"}
	for _, c := range configure {
		c(&cfg)
	}
	return serve(t, n, cfg)
}

// send posts lines and returns the answers.
func (a *testAPI) send(t testing.TB, body string) []client.SendResult {
	t.Helper()
	answer, got := a.do(t, "POST", "/pings", body, "Content-Type", ndjson)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, got)
	}
	var results []client.SendResult
	for line := range strings.Lines(got) {
		var r client.SendResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		results = append(results, r)
	}
	return results
}

func TestEveryLineIsAnswered(t *testing.T) {
	for name, a := range map[string]*testAPI{"a Sender": startSender(t), "a plain node": start(t)} {
		t.Run(name, func(t *testing.T) {
			body := strings.Join([]string{
				`{"text":"one"}`,
				``,
				`nonsense`,
				`{"text":""}`,
				`{"text":"two\n"}`,
				`{"txt":"x"}`,
				`{"text":"x"} {}`,
				`{"text":"` + strings.Repeat("x", entry.MaxText+1) + `"}`,
				`{"text":"` + strings.Repeat("x", maxLine) + `"}`,
				`{"text":1}`,
				`{}`,
				"{\"text\":\"\xff\"}",
				`{"text":"three"}`, // no newline at the end
			}, "\n")
			results := a.send(t, body)
			status := map[int]int{3: 400, 4: 400, 6: 400, 7: 400, 8: 413, 9: 413, 10: 400, 11: 400, 12: 400}
			want := map[int]string{1: "one", 5: "two\n", 13: "three"}
			lines := []int{}
			for _, r := range results {
				lines = append(lines, r.Line)
				switch {
				case r.Error != nil && (r.Error.Status != status[r.Line] || r.ID != "" || r.Error.Detail == ""):
					t.Errorf("line %d: %+v", r.Line, r.Error)
				case r.Error == nil && (r.Text != want[r.Line] || r.ID == "" || r.TopicPeers != 2):
					t.Errorf("line %d: %+v", r.Line, r)
				}
			}
			if !slices.Equal(lines, []int{1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}) {
				t.Errorf("answered %v", lines)
			}
			got := a.node.texts(t)
			slices.Sort(got)
			if !slices.Equal(got, []string{"one", "three", "two\n"}) {
				t.Errorf("published %q", got)
			}
		})
	}
}

func TestLinesKeepTheirOrder(t *testing.T) {
	a := startSender(t)
	var body strings.Builder
	var want []string
	for i := range 5000 {
		want = append(want, fmt.Sprint("ping ", i))
		fmt.Fprintf(&body, "{\"text\":%q}\n", want[i])
	}
	results := a.send(t, body.String())
	got := []string{}
	for _, r := range results {
		got = append(got, r.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("answered %d lines, not in order", len(got))
	}
	if got := a.node.texts(t); !slices.Equal(got, want) {
		t.Errorf("published %d, not in order", len(got))
	}
	if n := a.node.ledger.State().Entries; n > 1000 {
		t.Errorf("5,000 pings became %d entries: there are no batches", n)
	}
}

// TestAnswersComeWhileLinesAreSent is what makes POST /pings a stream.
func TestAnswersComeWhileLinesAreSent(t *testing.T) {
	a := startSender(t)
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/pings", r)
	if err != nil {
		t.Fatal(err)
	}
	go fmt.Fprintln(w, `{"text":"0"}`)
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	decoder := json.NewDecoder(answer.Body)
	for i := range 10 {
		var got client.SendResult
		if err := decoder.Decode(&got); err != nil || got.Line != i+1 || got.Text != fmt.Sprint(i) {
			t.Fatalf("got %+v, %v", got, err)
		}
		fmt.Fprintf(w, "{\"text\":\"%d\"}\n", i+1)
	}
	w.Close()
	if rest, err := io.ReadAll(io.MultiReader(decoder.Buffered(), answer.Body)); err != nil || !bytes.Contains(rest, []byte(`"line":11,`)) {
		t.Errorf("got %s, %v", rest, err)
	}
}

func TestAStreamWaitsForABusyNode(t *testing.T) {
	a := startSender(t)
	a.node.failWith(node.ErrBusy)
	tries := 0
	a.node.onPublish = func() {
		if tries++; tries == 3 {
			a.node.failWith(nil)
		}
	}
	results := a.send(t, "{\"text\":\"x\"}\n{\"text\":\"y\",\"key\":\"k\"}\n")
	if len(results) != 2 || results[0].Error != nil || results[1].Error != nil || tries < 3 {
		t.Errorf("after %d tries: %+v", tries, results)
	}
}

func TestAKeyPublishesOnce(t *testing.T) {
	a := startSender(t)
	ping := func(key, text string) (*http.Response, client.Published, string) {
		t.Helper()
		answer, body := a.do(t, "POST", "/ping", text, "Idempotency-Key", key, "Content-Type", "text/plain")
		var p client.Published
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		return answer, p, body
	}
	_, _, first := ping("k1", "one")
	answer, _, again := ping("k1", "one")
	if first != again || answer.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("first %s, then %s", first, again)
	}
	if answer, _, _ := ping("k1", "other"); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another text under the same key: %d", answer.StatusCode)
	}
	if answer, _, _ := ping(strings.Repeat("k", maxKeyLen+1), "x"); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a long key: %d", answer.StatusCode)
	}
	results := a.send(t, `{"text":"one","key":"k1"}
{"text":"two","key":"k2"}
{"text":"three"}
{"text":"two","key":"k2"}
{"text":"other","key":"k1"}
`)
	if len(results) != 5 || !results[0].Replayed || results[1].Error != nil || results[2].Error != nil {
		t.Errorf("got %+v", results)
	}
	if r := results[3]; !r.Replayed || r.ID != results[1].ID {
		t.Errorf("a key twice in one body: %+v", r)
	}
	if r := results[4]; r.Error == nil || r.Error.Status != http.StatusUnprocessableEntity {
		t.Errorf("got %+v", r)
	}
	if got := a.node.texts(t); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("published %q", got)
	}
}

func TestAKeyIsFreeAgainWhenNothingWasPublished(t *testing.T) {
	a := startSender(t)
	for _, err := range []error{node.ErrBusy, node.ErrStopped} {
		a.node.failWith(err)
		answer, _ := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d", answer.StatusCode)
		}
	}
	a.node.failWith(nil)
	if answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k"); answer.StatusCode != 200 || answer.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestAKeyInUseIsRefused(t *testing.T) {
	a := startSender(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	a.node.onPublish = func() { close(inside); <-leave }
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
	}()
	<-inside
	answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
	if answer.StatusCode != http.StatusConflict || answer.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	close(leave)
	<-done
}

// TestKeysAfterACrash stops a node at the worst instants: after the key was
// recorded and before the outcome was.
func TestKeysAfterACrash(t *testing.T) {
	n := newFakeNode(t)
	path := t.TempDir() + "/keys.db"
	crashed := func(key, text string, exact, published bool) {
		t.Helper()
		k, err := openKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		defer k.close()
		c := newClaim(key, text)
		if err := k.claim([]*claim{c}, time.Now(), exact); err != nil || c.err != nil {
			t.Fatal(err, c.err)
		}
		if published {
			// In one entry with another, that came first.
			at := c.record.sentAt
			if _, err := n.publish(t.Context(), []entry.Ping{{Text: "other", SentAt: at - 3_000_000}, {Text: text, SentAt: at}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	crashed("stored", "x", true, true)
	crashed("lost", "y", true, false)
	crashed("inexact", "z", false, false)
	a := serve(t, n, Config{Node: sender{n}, KeysPath: path})
	before := len(n.texts(t))

	answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "stored")
	records, err := n.ledger.After(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if want := records[0].Entry.ID.String() + "-1"; answer.StatusCode != 200 || !strings.Contains(body, want) {
		t.Errorf("a ping that was stored: %d %s", answer.StatusCode, body)
	}
	for key, text := range map[string]string{"lost": "y", "inexact": "z"} {
		if answer, body := a.do(t, "POST", "/ping", text, "Idempotency-Key", key); answer.StatusCode != http.StatusConflict {
			t.Errorf("%s: %d %s", key, answer.StatusCode, body)
		}
	}
	if got := len(n.texts(t)); got != before {
		t.Errorf("%d pings were published", got-before)
	}
	// A peer had it, and catch-up brings it back.
	k, err := findKey(a.server.keys, "lost")
	if err != nil {
		t.Fatal(err)
	}
	e, err := entry.Sign(n.key, testTopic, [8]byte{9}, []entry.Ping{{Text: "y", SentAt: k.sentAt}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ledger.Append(t.Context(), ledger.CatchUp, e); err != nil {
		t.Fatal(err)
	}
	if answer, body := a.do(t, "POST", "/ping", "y", "Idempotency-Key", "lost"); answer.StatusCode != 200 || !strings.Contains(body, e.ID.String()) {
		t.Errorf("a ping that came back: %d %s", answer.StatusCode, body)
	}
}

// findKey reads a key's record.
func findKey(k *keys, key string) (keyRecord, error) {
	c := newClaim(key, "")
	if err := k.claim([]*claim{c}, time.Now(), true); err != nil {
		return keyRecord{}, err
	}
	k.release([]*claim{c})
	return c.record, nil
}

func TestKeysSurviveARestartAndADay(t *testing.T) {
	n := newFakeNode(t)
	path := t.TempDir() + "/keys.db"
	ping := func(at time.Time) string {
		t.Helper()
		s, err := New(Config{Node: sender{n}, KeysPath: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.now = func() time.Time { return at }
		results := s.publishKeyed(t.Context(), []line{{text: "x", key: "k"}})
		if results[0].err != nil {
			t.Fatal(results[0].err)
		}
		return results[0].published.Entry.String()
	}
	now := time.Now()
	first := ping(now)
	if again := ping(now.Add(23 * time.Hour)); again != first {
		t.Error("the key was forgotten by a restart")
	}
	if later := ping(now.Add(25 * time.Hour)); later == first {
		t.Error("the key is remembered for more than a day")
	}
	k, err := openKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	if k.count != 1 {
		t.Errorf("%d keys are kept, not one", k.count)
	}
}

func TestKeysAreCounted(t *testing.T) {
	k, err := openKeys(t.TempDir() + "/keys.db")
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	now := time.Now()
	add := func(at time.Time, names ...string) []*claim {
		t.Helper()
		var claims []*claim
		for _, name := range names {
			claims = append(claims, newClaim(name, "x"))
		}
		if err := k.claim(claims, at, true); err != nil {
			t.Fatal(err)
		}
		k.release(claims)
		return claims
	}
	add(now, "a", "b", "c")
	add(now, "a", "d")
	if k.count != 4 {
		t.Errorf("%d keys, not 4", k.count)
	}
	if err := k.drop(add(now, "d")); err != nil || k.count != 3 {
		t.Errorf("%d keys, not 3 (%v)", k.count, err)
	}
	add(now.Add(25*time.Hour), "e")
	if k.count != 1 {
		t.Errorf("%d keys, not 1", k.count)
	}
}

func FuzzDecodeKeyRecord(f *testing.F) {
	f.Add(keyRecord{done: true, usedAt: time.Unix(1, 0), sentAt: 5, index: 7, topicPeers: 9}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeyRecord(b)
		if err == nil && !bytes.Equal(k.encode(), b) {
			t.Errorf("%x became %x", b, k.encode())
		}
	})
}

func FuzzDecodePing(f *testing.F) {
	f.Add([]byte(`{"text":"a","key":"b"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodePing(b)
		if err == nil && checkText(l.text) != nil {
			t.Errorf("%q was let through", b)
		}
	})
}

func TestAKeyWithoutAStoreIsRefused(t *testing.T) {
	a := start(t)
	answer, _ := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
	if answer.StatusCode != http.StatusBadRequest || len(a.node.texts(t)) != 0 {
		t.Errorf("%d", answer.StatusCode)
	}
}

func TestReceipts(t *testing.T) {
	a := startSender(t)
	a.node.receipts = []node.Receipt{{PeerID: "x", Latency: 1500 * time.Microsecond}, {PeerID: "y", Latency: 2 * time.Millisecond}}
	for _, test := range []struct {
		query    string
		status   int
		receipts int
	}{
		{"", 200, 0},
		{"?wait=1", 200, 1},
		{"?wait=2&timeout=3s", 200, 2},
		{"?wait=3&timeout=1ms", 202, 2},
		{"?wait=0", 400, 0},
		{"?wait=1000", 400, 0},
		{"?wait=1&timeout=1h", 400, 0},
		{"?wait=1&timeout=0", 400, 0},
		{"?timeout=1s", 400, 0},
	} {
		answer, body := a.do(t, "POST", "/ping"+test.query, "x")
		var p client.Published
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if answer.StatusCode != test.status || len(p.Receipts) != test.receipts {
			t.Errorf("%s: %d %s", test.query, answer.StatusCode, body)
		}
		if test.receipts > 0 && (p.Receipts[0] != client.Receipt{PeerID: node.Receipt{PeerID: "x"}.PeerID.String(), Latency: 1.5}) {
			t.Errorf("%s: %s", test.query, body)
		}
	}
}
