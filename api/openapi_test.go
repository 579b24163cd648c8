package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/ledger"
)

func TestTheDocumentIsValid(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	ids := make(map[string]bool)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			what := method + " " + path
			switch {
			case op.OperationID == "" || ids[op.OperationID]:
				t.Errorf("%s: its operationId %q is not its own", what, op.OperationID)
			case op.Summary == "" || strings.HasSuffix(op.Summary, "."):
				t.Errorf("%s: its summary %q is not a heading", what, op.Summary)
			case len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil:
				t.Errorf("%s: its tags are %q", what, op.Tags)
			case op.Responses.Default() == nil:
				t.Errorf("%s: no default answer", what)
			}
			ids[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.Value.Description == "" {
					t.Errorf("%s: %s is not described", what, p.Value.Name)
				}
			}
		}
	}
	for name := range doc.Components.Schemas {
		if !bytes.Contains(openAPI, []byte("#/components/schemas/"+name+"\"")) && !bytes.Contains(openAPI, []byte("x-item-schema: "+name+"\n")) && name != "PeerEvent" {
			t.Errorf("nothing refers to the schema %s", name)
		}
	}
}

func TestWhatIsServedIsWhatIsDocumented(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	a := start(t)
	var served, described []string
	for path, res := range a.server.resources {
		if isPage(path) {
			continue
		}
		for method := range res.methods {
			served = append(served, method+" "+path)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			described = append(described, method+" "+path)
			for _, p := range op.Parameters {
				if p.Value.In != "query" {
					continue
				}
				// Whatever becomes of this value, the name must be known.
				answer, body := a.rawDo(t, method, path+"?"+url.Values{p.Value.Name: {"\x00"}}.Encode())
				if answer.StatusCode != http.StatusBadRequest || strings.Contains(body, "there is no parameter") {
					if p.Value.Name != "text" {
						t.Errorf("%s %s: the parameter %s: %d %s", method, path, p.Value.Name, answer.StatusCode, body)
					}
				}
			}
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served:     %q\ndocumented: %q", served, described)
	}
	answer, body := a.do(t, "GET", "/openapi.yaml", "")
	if body != string(openAPI) || answer.Header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%s", answer.Status)
	}
}

// isPage tells whether a path is the page's, which is no part of the API.
func isPage(path string) bool { return path == "/" || strings.HasPrefix(path, "/web/") }

// rawDo makes a request that is not held to the document.
func (a *testAPI) rawDo(tb testing.TB, method, path string) (reply, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, a.url+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 10_000))
	if err != nil {
		tb.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Status, answer.Header}, string(b)
}

// TestEventsAreAsDocumented holds the data of events, which a schema of the
// whole stream can't describe, to their schemas.
func TestEventsAreAsDocumented(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	n := &movingNode{fakeNode: newFakeNode(t)}
	n.append(t, ledger.Gossip, time.Now(), "x")
	a := serve(t, n.fakeNode, Config{Node: n})
	a.server.watch.interval = time.Millisecond
	s := a.open(t, "/events?since=77")
	for _, test := range []struct{ event, schema string }{{"gap", "Gap"}, {"ping", "Ping"}, {"peer", "PeerEvent"}, {"sync", "PeerSync"}} {
		switch test.event {
		case "peer":
			n.set(n.fakeNode.Peers(), nil)
		case "sync":
			n.set(n.fakeNode.Peers(), nil)
			s.want("peer") // joined
			n.setSync()
		}
		var v any
		data := s.want(test.event).data
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			t.Fatal(err)
		}
		if err := doc.Components.Schemas[test.schema].Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("the event %s is no %s: %v: %s", test.event, test.schema, err, data)
		}
	}
}

// TestRareAnswers brings about documented answers that no other test needs.
func TestRareAnswers(t *testing.T) {
	a := startWithKeys(t, func(cfg *Config) { cfg.MaxStreams, cfg.PublishRate = 1, 0.001 })
	a.node.failWith(fmt.Errorf("a test: %w", ledger.ErrFull))
	do := func(want int, method, path, body string, headers ...string) {
		t.Helper()
		if answer, got := a.do(t, method, path, body, headers...); answer.StatusCode != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, answer.StatusCode, got, want)
		}
	}
	do(507, "GET", "/ping", "")
	do(429, "GET", "/ping", "")
	b := startWithKeys(t, func(cfg *Config) { cfg.MaxStreams = 1 })
	b.node.receipts = []node.Receipt{{PeerID: "x"}}
	a.Client, a.url, a.node = b.Client, b.url, b.node
	do(202, "GET", "/ping?wait=2&timeout=1ms", "")
	do(200, "GET", "/ping?text=x", "", "Idempotency-Key", "k")
	do(422, "GET", "/ping?text=y", "", "Idempotency-Key", "k")
	do(413, "GET", "/ping?text="+strings.Repeat("x", 5000), "")
	inside, leave := make(chan struct{}), make(chan struct{})
	b.node.onPublish = func() { close(inside); <-leave }
	first := make(chan struct{})
	go func() {
		defer close(first)
		do(200, "GET", "/ping?text=x", "", "Idempotency-Key", "busy")
	}()
	<-inside
	do(409, "GET", "/ping?text=x", "", "Idempotency-Key", "busy")
	close(leave)
	<-first
	b.node.onPublish = nil
	b.node.failWith(node.ErrBusy)
	do(503, "GET", "/ping", "")
	s := b.open(t, "/events")
	do(503, "GET", "/pings?follow=1", "")
	do(503, "GET", "/entries", "")
	do(503, "POST", "/pings", "", "Content-Type", ndjson)
	s.close()
	for range maxImports {
		b.server.imports <- struct{}{}
	}
	do(503, "POST", "/entries", "", "Content-Type", ndjson)
	for range maxImports {
		<-b.server.imports
	}
	do(400, "POST", "/pings?x=1", "")
	do(415, "POST", "/pings", "x", "Content-Type", "image/png")
	do(400, "POST", "/entries?x=1", "")
	do(415, "POST", "/entries", "x", "Content-Type", "image/png")
	do(413, "POST", "/peers", strings.Repeat("x", maxBody+1))
	do(415, "POST", "/peers", "x", "Content-Type", "image/png")
	for _, path := range []string{"/peers", "/livez", "/readyz", "/sync", "/openapi.yaml"} {
		do(400, "GET", path+"?x=1", "")
	}
}

// TestTypesAreAsDocumented compares the client's types with the schemas, field
// by field.
func TestTypesAreAsDocumented(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"Published": client.Published{Receipts: []client.Receipt{{}}}, "Receipt": client.Receipt{}, "Ping": client.Ping{From: "x"},
		"Pings": client.Pings{Next: "x"}, "Gap": client.Gap{Reason: client.GapForgotten}, "NewPing": client.NewPing{Key: "x"}, "ID": client.ID{},
		"Map": client.Map{}, "MapNode": client.MapNode{}, "MapEdge": client.MapEdge{}, "Peers": client.Peers{}, "Peer": client.Peer{Found: "x"}, "Connected": client.Connected{}, "Readiness": client.Readiness{},
		"Sync": client.Sync{}, "PeerSync": client.PeerSync{Error: "x"}, "Entry": client.Entry{}, "Imported": client.Imported{},
		"Problem": client.Error{Detail: "x", Hint: "x"},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for field := range fields {
			got = append(got, field)
		}
		for field := range doc.Components.Schemas[name].Value.Properties {
			want = append(want, field)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the type has %q, the schema %q", name, got, want)
		}
	}
}
