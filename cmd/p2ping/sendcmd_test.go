package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestParseNewPing(t *testing.T) {
	for in, good := range map[string]bool{
		`{"text":"a"}`:                       true,
		" {\"text\":\"a\",\"key\":\"k\"} \r": true,
		`{"text":"a"}{"text":"b"}`:           false, // b would be lost
		`{"text":"a"} x`:                     false,
		`{"text":""}`:                        false,
		`{"txt":"a"}`:                        false,
		`"a"`:                                false,
	} {
		if ping, err := parseNewPing([]byte(in)); (err == nil) != good || good && ping.Text != "a" {
			t.Errorf("%q: %+v, %v", in, ping, err)
		}
	}
}

// writerFunc is called for what is written.
type writerFunc func()

func (f writerFunc) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

// TestSendBreaksOff has the node publish the first of two lines, and then either
// be gone, or the sender interrupted.
func TestSendBreaksOff(t *testing.T) {
	for name, want := range map[string]string{
		"interrupted": "p2ping: error: interrupted: published 1 ping in ",
		"broken":      "p2ping: error: the node broke the connection off: published 1 ping in ",
	} {
		t.Run(name, func(t *testing.T) {
			shown := make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 can
				w.Header().Set("Content-Type", "application/x-ndjson")
				_, _ = io.WriteString(w, `{"line":1,"id":"a"}`+"\n")
				_ = http.NewResponseController(w).Flush()
				<-shown
				if name == "broken" {
					if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
						_ = conn.Close()
					}
					return
				}
				_, _ = io.Copy(io.Discard, r.Body) // ends with the connection
			}))
			defer s.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			in, lines := io.Pipe()
			defer lines.Close()
			go func() { _, _ = io.WriteString(lines, `{"text":"a"}`+"\n"+`{"text":"b"}`+"\n") }() // the second in vain
			out := writerFunc(func() {
				close(shown)
				if name == "interrupted" {
					cancel()
				}
			})
			var errs bytes.Buffer
			code := run(ctx, []string{"p2ping", "send", "--json", "--api", s.URL, "-"}, func(string) (string, bool) { return "", false }, in, out, &errs)
			if got := errs.String(); code != exitFailed || !strings.HasPrefix(got, want) || !strings.Contains(got, "p2ping: hint: a line without a result ") {
				t.Errorf("exit code %d: %s", code, got)
			}
		})
	}
}

// TestPingInterrupted interrupts a ping that the node has been sent.
func TestPingInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		_, _ = io.Copy(io.Discard, r.Body) // until then the connection's end goes unnoticed
		<-r.Context().Done()
	}))
	defer s.Close()
	var errs bytes.Buffer
	code := run(ctx, []string{"p2ping", "ping", "--api", s.URL}, func(string) (string, bool) { return "", false }, nil, io.Discard, &errs)
	if got := errs.String(); code != exitFailed || !strings.Contains(got, "interrupted: the ping may have been published") {
		t.Errorf("exit code %d: %s", code, got)
	}
}
