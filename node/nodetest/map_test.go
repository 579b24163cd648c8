package nodetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// mapOf writes a node's map: the nodes in order, those that answered with an !,
// and the links with how many of their ends claim them.
func (n *Network) mapOf(t *testing.T, i int) string {
	t.Helper()
	m, err := n.Nodes[i].Member().Map(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	index := func(id peer.ID) int { return slices.IndexFunc(n.Nodes, func(d *Node) bool { return d.ID == id }) }
	var nodes, edges []string
	for _, node := range m.Nodes {
		text := fmt.Sprint(index(node.PeerID))
		if node.Answered {
			text += "!"
		}
		nodes = append(nodes, text)
		if want := int64(len(n.Nodes)); node.Answered && (node.Entries != want || node.Pings != want || !strings.HasPrefix(node.Agent, "p2ping")) {
			t.Errorf("node %s: %+v", text, node.Report)
		}
	}
	for _, e := range m.Edges {
		a, b := index(e.From), index(e.To)
		edges = append(edges, fmt.Sprintf("%d-%d(%d)", min(a, b), max(a, b), len(e.ClaimedBy)))
		if e.RTT <= 0 || e.RTT > time.Second {
			t.Errorf("the round trip over %s takes %v", edges[len(edges)-1], e.RTT)
		}
		if !e.InMesh {
			t.Errorf("the link %s is not in the mesh", edges[len(edges)-1])
		}
	}
	slices.Sort(nodes)
	slices.Sort(edges)
	return fmt.Sprintf("%s  %s  complete: %v", strings.Join(nodes, " "), strings.Join(edges, " "), m.Complete)
}

func TestMap(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*Network, int) []int
		from int
		want string
	}{
		{"a line from its end", (*Network).Line, 0, "0! 1! 2  0-1(2) 1-2(1)  complete: false"},
		{"a line from its middle", (*Network).Line, 2, "0 1! 2! 3! 4  0-1(1) 1-2(2) 2-3(2) 3-4(1)  complete: false"},
		{"a ring", (*Network).Ring, 0, "0! 1! 2 3 4!  0-1(2) 0-4(2) 1-2(1) 3-4(1)  complete: false"},
		{"a star from its hub", (*Network).Star, 0, "0! 1! 2! 3! 4!  0-1(2) 0-2(2) 0-3(2) 0-4(2)  complete: true"},
		{"a star from a ray", (*Network).Star, 3, "0! 1 2 3! 4  0-1(1) 0-2(1) 0-3(2) 0-4(1)  complete: false"},
		{
			"everyone with everyone", (*Network).Full, 0,
			"0! 1! 2! 3! 4!  0-1(2) 0-2(2) 0-3(2) 0-4(2) 1-2(2) 1-3(2) 1-4(2) 2-3(2) 2-4(2) 3-4(2)  complete: true",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			Run(t, 1, options(), func(t *testing.T, n *Network) {
				n.Start(test.make(n, 5)...)
				together(t, n, "at first")
				n.Sleep(time.Minute) // meshes are made, round trips measured
				if got := n.mapOf(t, test.from); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		})
	}
}
