package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"p2ping/api/client"
	"p2ping/node"
)

func TestIDSaysWhoTheNodeIs(t *testing.T) {
	a := start(t)
	id, err := a.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.UnmarshalPublicKey(id.PublicKey)
	if err != nil || !key.Equals(a.node.key.GetPublic()) {
		t.Errorf("public key: %v", err)
	}
	if id.PeerID != a.node.id.String() || id.Topic != testTopic || len(id.Addresses) != 1 || id.StartedAt.UnixMicro() != 1700000000123456 {
		t.Errorf("got %+v", id)
	}
	if len(id.Reached) != 1 || id.Reached[0].From != "the internet" || id.Reached[0].At.Unix() != 1700000001 {
		t.Errorf("reached: %+v", id.Reached)
	}
	_, body := a.do(t, "GET", "/id", "")
	if !strings.Contains(body, `"started_at":"2023-11-14T22:13:20.123456Z"`) {
		t.Errorf("got %s", body)
	}
}

func TestPeersAreListed(t *testing.T) {
	a := start(t)
	peers, err := a.Peers(t.Context())
	if err != nil || len(peers) != 1 || peers[0].RTT != 1.5 || !peers[0].OnTopic || peers[0].Direction != "inbound" {
		t.Fatalf("got %+v, %v", peers, err)
	}
}

func TestConnect(t *testing.T) {
	a := start(t)
	address := "/ip4/127.0.0.1/tcp/6001/p2p/" + a.node.id.String()
	if id, err := a.Connect(t.Context(), address); err != nil || id != a.node.id.String() {
		t.Errorf("got %q, %v", id, err)
	}
	if answer, body := a.do(t, "POST", "/peers", address+"\n", "Content-Type", "application/x-www-form-urlencoded"); answer.StatusCode != 200 {
		t.Errorf("curl -d: %s", body)
	}
	// curl -d announces a form.
	answer, body := a.do(t, "POST", "/peers", `{"address":"`+address+`"}`, "Content-Type", "application/x-www-form-urlencoded")
	if answer.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(body, "Content-Type: application/json") {
		t.Errorf("JSON as a form: %d %s", answer.StatusCode, body)
	}
	_, err := a.Connect(t.Context(), "nonsense")
	wantError(t, err, http.StatusBadRequest)
	_, err = a.Connect(t.Context(), "")
	wantError(t, err, http.StatusBadRequest)
	a.node.failWith(errors.New("nobody home"))
	_, err = a.Connect(t.Context(), address)
	if e := wantError(t, err, http.StatusBadGateway); e.Detail != "nobody home" || e.Hint == "" {
		t.Errorf("got %+v", e)
	}
	a.node.failWith(fmt.Errorf("%w: it is", node.ErrSelf))
	_, err = a.Connect(t.Context(), address)
	if e := wantError(t, err, http.StatusBadGateway); e.Hint != "" {
		t.Errorf("of itself it asks whether that runs: %+v", e)
	}
}

func TestReadiness(t *testing.T) {
	a := start(t)
	if err := a.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := a.Ready(t.Context()); err != nil || !r.Ready || len(r.Reasons) != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
	a.node.notReady = []string{"no peer", "no room"}
	if r, err := a.Ready(t.Context()); err != nil || r.Ready || len(r.Reasons) != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
	answer, body := a.do(t, "GET", "/readyz", "")
	checkProblem(t, answer, body)
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestMetricsCountRequests(t *testing.T) {
	a := start(t)
	if _, err := a.Ping(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	a.do(t, "GET", "/nowhere", "")
	answer, body := a.do(t, "GET", "/metrics", "")
	if answer.StatusCode != 200 {
		t.Fatal(body)
	}
	for _, want := range []string{
		`p2ping_http_requests_total{outcome="done",path="/ping"} 1`,
		`p2ping_http_requests_total{outcome="refused",path="other"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("lacking %s", want)
		}
	}
}

func TestErrorsAreProblemDocuments(t *testing.T) {
	a := start(t)
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/web/nowhere.js", 404},
		{"POST", "/", 405},
		{"GET", "/id/", 404},
		{"POST", "/id", 405},
		{"DELETE", "/peers", 405},
		{"GET", "/id?x=1", 400},
		{"GET", "/entries?ids=2", 400},
		{"GET", "/pings?author=12D3", 400},
		{"HEAD", "/entries", 405},
	} {
		answer, body := a.do(t, test.method, test.path, "")
		if answer.StatusCode != test.want {
			t.Errorf("%s %s: %d %s", test.method, test.path, answer.StatusCode, body)
		} else if test.method != "HEAD" {
			checkProblem(t, answer, body)
		}
	}
	if answer, body := a.do(t, "HEAD", "/id", ""); answer.StatusCode != 200 || body != "" {
		t.Errorf("HEAD /id: %d %q", answer.StatusCode, body)
	}
	answer, _ := a.do(t, "PUT", "/peers", "")
	if got := answer.Header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("Allow: %s", got)
	}
	answer, _ = a.do(t, "PUT", "/ping", "")
	if got := answer.Header.Get("Allow"); got != "GET, POST" {
		t.Errorf("Allow: %s", got)
	}
}

func TestClientTellsNobodyFromRefused(t *testing.T) {
	c, err := client.New(client.Config{URL: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ID(t.Context()); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	a := start(t)
	a.node.failWith(errors.New("x"))
	if _, err := a.Ping(t.Context(), ""); errors.Is(err, client.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestJSONListsAreNeverNull(t *testing.T) {
	b, err := json.Marshal(struct{ L []int }{list[int](nil)})
	if err != nil || string(b) != `{"L":[]}` {
		t.Errorf("got %s, %v", b, err)
	}
}
