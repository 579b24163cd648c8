package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"p2ping/node"
)

// instantNode publishes nothing, at once, so that what is measured is the API.
type instantNode struct {
	*fakeNode
	at time.Time
}

func (n instantNode) Publish(_ context.Context, text string) (node.Published, error) {
	return node.Published{Text: text, Author: n.id, SentAt: n.at}, nil
}

// nowhere is a ResponseWriter that forgets.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) WriteHeader(int)             {}
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }

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
