package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
)

// startWithKeys serves a node with a store for keys.
func startWithKeys(tb testing.TB, configure ...func(*Config)) *testAPI {
	tb.Helper()
	n := newFakeNode(tb)
	cfg := Config{Node: n, KeysPath: tb.TempDir() + "/keys.db"}
	for _, c := range configure {
		c(&cfg)
	}
	return serve(tb, n, cfg)
}

// send posts lines and returns the answers.
func (a *testAPI) send(tb testing.TB, body string) []client.SendResult {
	tb.Helper()
	answer, got := a.do(tb, "POST", "/pings", body, "Content-Type", ndjson)
	if answer.StatusCode != http.StatusOK {
		tb.Fatalf("%d %s", answer.StatusCode, got)
	}
	var results []client.SendResult
	for line := range strings.Lines(got) {
		var r client.SendResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			tb.Fatalf("%v: %s", err, line)
		}
		results = append(results, r)
	}
	return results
}

func TestEveryLineIsAnswered(t *testing.T) {
	a := startWithKeys(t)
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
}

func TestLinesKeepTheirOrder(t *testing.T) {
	a := startWithKeys(t)
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
	a := startWithKeys(t)
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
	a := startWithKeys(t)
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

// pipeListener accepts connections without a network, for tests on a fake clock.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

// newPipeListener makes one that is dialled up to n times.
func newPipeListener(n int) *pipeListener {
	return &pipeListener{conns: make(chan net.Conn, n), closed: make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestAStreamWaitsLongerThanABodyMay publishes the lines of a body that has long
// been read: the deadline for reading it must not end the request.
func TestAStreamWaitsLongerThanABodyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNode(t)
		s, err := New(Config{Node: n, PublishRate: 0.1}) // one in ten seconds
		if err != nil {
			t.Fatal(err)
		}
		l := newPipeListener(1)
		conn := l.dial()
		server := NewHTTPServer(s, nil)
		go server.Serve(l)
		defer server.Close()
		defer conn.Close()

		const pings = 10
		body := strings.Repeat("{\"text\":\"x\"}\n", pings-1) + `{"text":"x"}` // no newline at the end
		fmt.Fprintf(conn, "POST /pings HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", ndjson, len(body), body)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		if ok := bytes.Count(got, []byte(`"id":`)); err != nil || ok != pings {
			t.Errorf("%d of %d pings were published (%v): %s", ok, pings, err, got)
		}
	})
}

func TestPlainPing(t *testing.T) {
	for _, test := range []struct {
		in    string
		want  line
		plain bool
	}{
		{`{"text":"a"}`, line{text: "a"}, true},
		{"{\"text\":\"a\"}\r", line{text: "a"}, true},
		{`{"text":""}`, line{}, true},
		{`{"text": "Привет <&>", "key": "k"}`, line{text: "Привет <&>", key: "k"}, true},
		{" { \"key\" :\t\"k\" , \"text\" : \"a\" } ", line{text: "a", key: "k"}, true},
		{`{"text":"a","key":""}`, line{}, false},
		{`{}`, line{}, false},
		{`{"key":"k"}`, line{}, false},
		{`{"text":"a",}`, line{}, false},
		{`{"text":"a"`, line{}, false},
		{`{"text":"a`, line{}, false},
		{`{"text":"a"}}`, line{}, false},
		{`{"text":"a"}{"text":"b"}`, line{}, false},
		{`{"text":"a" "key":"b"}`, line{}, false},
		{`{,"text":"a"}`, line{}, false},
		{`{"text":"a","text":"b"}`, line{}, false},
		{`{"Text":"a"}`, line{}, false},
		{`{"text":"\u0061"}`, line{}, false},
		{`{"text":"a","key":null}`, line{}, false},
		{`{"text":"a","x":"b"}`, line{}, false},
		{"{\"text\":\"a\tb\"}", line{}, false},
		{"{\"text\":\"\xff\"}", line{}, false},
		{"{\"text\":\"\x7f\"}\v", line{}, false},
		{``, line{}, false},
	} {
		if got, plain := plainPing([]byte(test.in)); got != test.want || plain != test.plain {
			t.Errorf("plainPing(%q) = %+v, %t; want %+v, %t", test.in, got, plain, test.want, test.plain)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	for in, want := range map[string]line{
		`{"text":"a","key":"k"}`:                    {text: "a", key: "k"},
		`{"text":"\u0061\ud83d\ude00"}`:             {text: "a\U0001f600"},
		`{"text":"\\ud83d \u005cud83d","key":"\\"}`: {text: `\ud83d \ud83d`, key: `\`},
	} {
		if got, err := decodeJSON([]byte(in)); err != nil || got != want {
			t.Errorf("%s is %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		`{"text":"\ud83d"}`:           "half a character",
		`{"text":"\ude00\ud83d"}`:     "half a character",
		`{"text":"\ud83d\u0061"}`:     "half a character",
		`{"text":"\uD83D\\ude00"}`:    "half a character",
		`{"text":"a","key":"\udfff"}`: "half a character",
		`{"text":"a","key":""}`:       "is empty",
		`{"text":"a","key":null}`:     "is not a string",
		`{"text":7}`:                  "is not a string",
		`{"text":"a","Key":"k"}`:      `another field than "text" and "key": "Key"`,
		`{"TEXT":"a"}`:                "the text is missing",
		`{"text":"a"} {"text":"b"}`:   "not of the form",
		`["a"]`:                       "of another type, array",
		`null`:                        "it is null",
		"{\"text\":\"\xff\"}":         "not valid UTF-8",
	} {
		if got, err := decodeJSON([]byte(in)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go value") {
			t.Errorf("%s is %+v, %v; want %q", in, got, err, want)
		}
	}
}

// FuzzDecodePing holds what is read without encoding/json to what that reads.
func FuzzDecodePing(f *testing.F) {
	f.Add([]byte(`{"text":"a","key":"b"}`))
	f.Add([]byte(`{"text":"\ud83d\ude00\ud83d"}`))
	f.Add([]byte(" {\t\"key\" : \"\", \"text\" : \"a\u00e9\\n\" } \r"))
	f.Add([]byte(`{"text":"a","Text":"b","text":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodePing(b)
		if err == nil && checkText(l.text) != nil {
			t.Errorf("%q was let through", b)
		}
		slow, slowErr := decodeJSON(b)
		if l != slow || (err == nil) != (slowErr == nil) || err != nil && asProblem(err).refusal != asProblem(slowErr).refusal {
			t.Errorf("%q is %+v, %v; encoding/json says %+v, %v", b, l, err, slow, slowErr)
		}
	})
}

func BenchmarkDecodePing(b *testing.B) {
	in := []byte(`{"text":"a ping of the usual length, a bit"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodePing(in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestReceipts(t *testing.T) {
	a := startWithKeys(t)
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
		{"?timeout=3s", 400, 0},
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
