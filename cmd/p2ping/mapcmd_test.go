package main

import (
	"bytes"
	"strings"
	"testing"

	"p2ping/api/client"
)

// hostileMap has a node that claims a link which its other end denies, one that
// did not answer, and names that want to break out.
func hostileMap() client.Map {
	return client.Map{
		Nodes: []client.MapNode{
			{PeerID: "this-is-node-one", Answered: true, Agent: "p2ping", Entries: 2, Pings: 3, TopicPeers: 2},
			{PeerID: "two", Answered: true, Agent: "x\"];\x1b[2J\\\nevil", TopicPeers: 2},
			{PeerID: "three", Answered: true, TopicPeers: 65},
			{PeerID: "four"},
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
	want := `NODE  PEER              AGENT                  ENTRIES  PINGS  PEERS
1     this-is-node-one  p2ping                 2        3      2
2     two               x"];\x1b[2J\\\nevil    0        0      2
3     three             -                      0        0      65
4     four              -                      -        -      -

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
	if !strings.HasPrefix(talk.String(), "The map is not complete") {
		t.Errorf("%q", talk.String())
	}
}

func TestDot(t *testing.T) {
	want := `graph p2ping {
  "this-is-node-one" [label="node-one\np2ping\npings: 3", peripheries=2];
  "two" [label="two\nx\"];\\x1b[2J\\\\\\nevil\npings: 0"];
  "three" [label="three\n\npings: 0"];
  "four" [label="four", style=dashed];
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
