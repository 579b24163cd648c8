package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"http://localhost:3001":   "http://localhost:3001",
		"http://localhost:3001/":  "http://localhost:3001",
		"https://node.example":    "https://node.example",
		"localhost:3001":          "http://localhost:3001",
		"[::1]:3001":              "http://[::1]:3001",
		"unix:/run/p2ping.sock":   "http://localhost",
		"":                        "",
		"unix:":                   "",
		"ftp://x":                 "",
		"http://":                 "",
		"http://x/ping":           "",
		"http://x?y=1":            "",
		"http://user:secret@x:1":  "",
		"http://local host:3001/": "",
	} {
		c, err := New(Config{URL: address})
		switch {
		case want == "" && err == nil:
			t.Errorf("%q was taken as %s", address, c.base)
		case want != "" && (err != nil || c.base != want):
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := New(Config{URL: "unix:/x", HTTP: http.DefaultClient}); err == nil {
		t.Error("a Unix socket with a client of one's own was taken")
	}
}

func TestTimesHaveOneForm(t *testing.T) {
	for _, at := range []time.Time{time.Unix(0, 0), time.UnixMicro(1700000000100000), time.UnixMicro(1700000000123456).In(time.FixedZone("x", 3600))} {
		b, err := json.Marshal(Time{at})
		if err != nil || len(b) != len(`"2006-01-02T15:04:05.000000Z"`) {
			t.Errorf("%s, %v", b, err)
		}
		var got Time
		if err := json.Unmarshal(b, &got); err != nil || !got.Equal(at) {
			t.Errorf("%s became %s, %v", at, got, err)
		}
	}
	var got Time
	if err := json.Unmarshal([]byte(`"yesterday"`), &got); err == nil {
		t.Errorf("got %s", got)
	}
}

// serve answers every request with h.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(Config{URL: server.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswersOfOthersAreNoNodes(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a web page": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"not found":  http.NotFound,
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/id" {
				t.Errorf("the token %q went to %s", r.Header.Get("Authorization"), r.URL)
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
		"broken JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"peer_id":`)
		},
		"a broken problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", problemType)
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{`)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"peer_id":"`)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		if id, err := serve(t, h).ID(t.Context()); err == nil || errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: got %.100v, %v", name, id, err)
		}
	}
}

func TestRefusalsAreTyped(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("Authorization: %s", got)
		}
		w.Header().Set("Content-Type", problemType+"; charset=utf-8")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"title":"Service Unavailable","status":503,"detail":"busy","hint":"wait"}`)
	})
	_, err := c.Ping(t.Context(), "x")
	got, ok := errors.AsType[*Error](err)
	want := Error{Status: 503, Title: "Service Unavailable", Detail: "busy", Hint: "wait", RetryAfter: 7 * time.Second}
	if !ok || *got != want || !got.Temporary() || got.Error() != "busy" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLongLinesEndAStream(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Repeat("x", MaxLine+1))
	})
	for e, err := range c.Entries(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "longer") {
			t.Errorf("got %+v, %v", e, err)
		}
	}
}

// A stream that ends before everything was answered is an error.
func TestSendNoticesMissingAnswers(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, `{"line":1,"id":"x"}`)
	})
	var results, errs int
	pings := func(yield func(NewPing) bool) { _ = yield(NewPing{Text: "a"}) && yield(NewPing{Text: "b"}) }
	for _, err := range c.Send(t.Context(), pings) {
		if err != nil {
			errs++
		} else {
			results++
		}
	}
	if results != 1 || errs != 1 {
		t.Errorf("%d results, %d errors", results, errs)
	}
}

func TestFollowReadsWhatOthersMightSend(t *testing.T) {
	stream := strings.Join([]string{
		"retry: 5", "", // no data: no event
		": comment", "id: 5-0", "",
		"event: weather", `data: {"rain":true}`, "", // of a newer node
		"event: ping", "id: 6-0", `data: {"text":`, `data:"a"}`, "",
		"event: ping", `data: {"text":"cut o`,
	}, "\n")
	tries := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 2 {
			if got := r.Header.Get("Last-Event-ID"); got != "6-0" {
				t.Errorf("it goes on after %q", got)
			}
			stream = "event: ping\nid: 7-0\ndata: {\"text\":\"b\"}\n\n"
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, stream)
	})
	var texts []string
	for e, err := range c.Follow(t.Context(), FollowQuery{Since: "0"}) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, e.Ping.Text)
		if len(texts) == 2 {
			break
		}
	}
	if got := strings.Join(texts, ""); got != "ab" {
		t.Errorf("got %q", got)
	}
}
