package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"p2ping/node"
	"p2ping/node/entry"
)

// instantNode publishes nothing, at once, so that what is measured is the API.
type instantNode struct {
	*fakeNode
	at time.Time
}

func (n instantNode) Publish(_ context.Context, text string) (node.Published, error) {
	return node.Published{Text: text, Author: n.id, SentAt: n.at}, nil
}

func (n instantNode) PublishAll(_ context.Context, pings []entry.Ping) ([]node.Published, error) {
	published := make([]node.Published, len(pings))
	for i, p := range pings {
		published[i] = node.Published{Index: i, Text: p.Text, Author: n.id, SentAt: n.at}
	}
	return published, nil
}

// nowhere is a ResponseWriter that forgets.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) WriteHeader(int)             {}
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w nowhere) Flush()                      {}

// BenchmarkServePing measures what the API adds to a ping, without sockets.
func BenchmarkServePing(b *testing.B) {
	n := newFakeNode(b)
	s, err := New(Config{Node: instantNode{n, time.Now()}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://127.0.0.1:3001/ping", strings.NewReader("hello"))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s.ServeHTTP(nowhere{make(http.Header)}, r)
	}
}

// BenchmarkSendPing measures what the API adds to each line of POST /pings.
func BenchmarkSendPing(b *testing.B) {
	n := newFakeNode(b)
	s, err := New(Config{Node: instantNode{n, time.Now()}})
	if err != nil {
		b.Fatal(err)
	}
	body := strings.NewReader(strings.Repeat(`{"text":"a ping of the usual length, a bit"}`+"\n", b.N))
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://127.0.0.1:3001/pings", body)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", ndjson)
	b.ReportAllocs()
	b.ResetTimer()
	s.ServeHTTP(nowhere{make(http.Header)}, r)
}
