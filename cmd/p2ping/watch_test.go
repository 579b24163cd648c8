package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"p2ping/api/client"
)

// TestANodeThatHangsIsNotHealthy asks one whose system takes the connection.
func TestANodeThatHangsIsNotHealthy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := client.New(client.Config{URL: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = readyWithin(t.Context(), c, time.Second) // in which a busy machine connects
	if f, ok := errors.AsType[*failure](explain(err)); !ok || f.code != exitNoNode {
		t.Errorf("got %v, not that no node answers", err)
	}
	if !strings.HasSuffix(err.Error(), "it has said nothing for 1s") {
		t.Errorf("got %v, which does not say how long", err)
	}
}

// TestStrangersAreNoNodes asks what is not p2ping, and a node that refuses.
func TestStrangersAreNoNodes(t *testing.T) {
	for _, test := range []struct {
		name, contentType, body string
		status, code            int
	}{
		{"web page", "text/html", "<p>Welcome!", http.StatusOK, exitNoNode},
		{"not there", "text/plain", "404 page not found", http.StatusNotFound, exitNoNode},
		{"elsewhere", "text/html", "", http.StatusFound, exitNoNode},
		{"other JSON", "application/json", "[]", http.StatusOK, exitNoNode},
		{"token wanted", "application/problem+json", `{"status":401,"title":"Unauthorized"}`, http.StatusUnauthorized, exitFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.contentType)
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			}))
			defer s.Close()
			c, err := client.New(client.Config{URL: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = readyWithin(t.Context(), c, patience)
			if f, ok := errors.AsType[*failure](explain(err)); !ok || f.code != test.code {
				t.Errorf("got %v, not exit code %d", err, test.code)
			}
		})
	}
}
