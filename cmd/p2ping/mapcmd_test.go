package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"p2ping/api/client"
)

// hostileMap has a node that claims a link which its other end denies, one that
// did not answer, and names that want to break out.
func hostileMap() client.Map {
	return client.Map{
		Nodes: []client.MapNode{
			{PeerID: "this-is-node-one", Answered: true, State: "answered", Agent: "p2ping", Entries: 2, Pings: 3, TopicPeers: 2},
			{PeerID: "two", Answered: true, State: "answered", Agent: "x\"];\x1b[2J\\\nevil", TopicPeers: 2},
			{PeerID: "three", Answered: true, State: "answered", TopicPeers: 65},
			{PeerID: "four", State: "unreached"},
			{PeerID: "five", State: "silent"},
		},
		Edges: []client.MapEdge{
			{From: "this-is-node-one", To: "two", InMesh: true, RTT: 1.25, ClaimedBy: []string{"this-is-node-one", "two"}},
			{From: "two", To: "this-is-node-one", ClaimedBy: []string{"two"}},
			{From: "two", To: "three", ClaimedBy: []string{"two"}},
			{From: "three", To: "two", ClaimedBy: []string{"two"}},
			{From: "three", To: "four", ClaimedBy: []string{"three"}},
		},
	}
}

func TestShowMap(t *testing.T) {
	var out, talk bytes.Buffer
	p := &program{stdout: &out, stderr: &talk}
	if err := p.showMap(hostileMap()); err != nil {
		t.Fatal(err)
	}
	want := `NODE  PEER              STATE      AGENT                  ENTRIES  PINGS  PEERS
1     this-is-node-one  answered   p2ping                 2        3      2
2     two               answered   x"];\x1b[2J\\\nevil    0        0      2
3     three             answered   -                      0        0      65
4     four              unreached  -                      -        -      -
5     five              silent     -                      -        -      -

LINK  MESH  RTT    CLAIMED BY
1-2   yes   1.2ms  both
2-1   no    -      2, not by 1
2-3   no    -      2
3-2   no    -      2
3-4   no    -      3
`
	if got := out.String(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	says := "The map is not complete: 1 node answers nobody; 1 node did not answer; 1 node has more peers than it tells of.\n"
	if talk.String() != says {
		t.Errorf("%q", talk.String())
	}
}

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		m    client.Map
		want string
	}{
		{client.Map{Nodes: []client.MapNode{{State: "answered"}, {State: "unasked"}}}, "1 node was not asked, as nobody tells where it is"},
		{client.Map{Nodes: []client.MapNode{{State: "unasked"}, {State: "unasked"}, {State: "unasked"}}, Left: 1}, "2 nodes were not asked, as nobody tells where they are; 1 node was left unasked"},
		{client.Map{Nodes: []client.MapNode{{State: "unasked"}}, Left: 7, Undrawn: 6, EndedEarly: true}, "7 nodes were left unasked; 6 nodes have no room on it; time ran out"},
		{client.Map{Nodes: []client.MapNode{{State: "unreached"}, {State: "unreached"}, {State: "silent"}, {State: "silent"}}}, "2 nodes answer nobody; 2 nodes did not answer"},
	} {
		if got := strings.Join(missing(test.m), "; "); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// TestMapProgress has a map wait until its progress was shown, and shows only
// what has changed while it is made.
func TestMapProgress(t *testing.T) {
	tick, made := make(chan time.Time), make(chan struct{})
	states := []client.MapProgress{{}, {Running: true, Known: 1}, {Running: true, Known: 1}, {Running: true, Asked: 1, Known: 3}, {Asked: 3, Known: 3}}
	go func() {
		for range states {
			tick <- time.Now()
		}
		tick <- time.Now() // the last one was shown, or not, when this is taken
		close(made)
	}()
	asked := 0
	progress := func(context.Context) (client.MapProgress, error) {
		if asked == len(states) {
			return client.MapProgress{}, errors.New("it is gone")
		}
		asked++
		return states[asked-1], nil
	}
	var shown []client.MapProgress
	m, err := withProgress(t.Context(), func(context.Context) (client.Map, error) {
		<-made
		return client.Map{Asked: 3}, nil
	}, progress, tick, func(s client.MapProgress) { shown = append(shown, s) })
	if err != nil || m.Asked != 3 || len(shown) != 2 || shown[0] != states[1] || shown[1] != states[3] {
		t.Errorf("%+v, %v, %v", m, err, shown)
	}
	var out, talk bytes.Buffer
	p := &program{stdout: &out, stderr: &talk}
	p.showProgress(states[3])
	p.sayProgress(states[3])
	if got := talk.String(); got != "\rasked 1 of 3 nodes\x1b[Kp2ping: asked 1 of 3 nodes\n" {
		t.Errorf("%q", got)
	}
}

// TestMapStops has a node that never answers, and a person who has enough.
func TestMapStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	node := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	}))
	defer node.Close()
	c, err := client.New(client.Config{URL: node.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := &program{stdout: io.Discard, stderr: io.Discard}
	if _, err := p.askForMap(ctx, c); err == nil || err.Error() != "stopped before the map was made" {
		t.Error(err)
	}
}

func TestDot(t *testing.T) {
	want := `graph p2ping {
  "this-is-node-one" [label="node-one\np2ping\npings: 3", peripheries=2];
  "two" [label="two\nx\"];\\x1b[2J\\\\\\nevil\npings: 0"];
  "three" [label="three\n\npings: 0"];
  "four" [label="four\nunreached", style=dashed];
  "five" [label="five\nsilent", style=dotted];
  "this-is-node-one" -- "two" [label="1.2ms", penwidth=2];
  "two" -- "this-is-node-one" [style=dashed];
  "two" -- "three" [style=dashed];
  "three" -- "two" [style=dashed];
  "three" -- "four" [style=dashed];
}
`
	if got := dot(hostileMap()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
