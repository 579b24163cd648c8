package nodetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"

	"p2ping/node/status"
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
		if node.State == status.Answered {
			text += "!"
		}
		nodes = append(nodes, text)
		if want := int64(len(n.Nodes)); node.State == status.Answered && (node.Entries != want || node.Pings != want || !strings.HasPrefix(node.Agent, "p2ping")) {
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
		{"a line from its end", (*Network).Line, 0, "0! 1! 2! 3! 4!  0-1(2) 1-2(2) 2-3(2) 3-4(2)  complete: true"},
		{"a line from its middle", (*Network).Line, 2, "0! 1! 2! 3! 4!  0-1(2) 1-2(2) 2-3(2) 3-4(2)  complete: true"},
		{"a ring", (*Network).Ring, 0, "0! 1! 2! 3! 4!  0-1(2) 0-4(2) 1-2(2) 2-3(2) 3-4(2)  complete: true"},
		{"a star from its hub", (*Network).Star, 0, "0! 1! 2! 3! 4!  0-1(2) 0-2(2) 0-3(2) 0-4(2)  complete: true"},
		{"a star from a ray", (*Network).Star, 3, "0! 1! 2! 3! 4!  0-1(2) 0-2(2) 0-3(2) 0-4(2)  complete: true"},
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

// traces fails unless all that a node knows of, in whatever way, are nodes of
// the network, and returns who is on its topic.
func (n *Network) traces(t *testing.T, i int) []int {
	t.Helper()
	member := n.Nodes[i].Member()
	var known []string
	for _, p := range member.Peers() {
		known = append(known, p.PeerID.String())
	}
	sync, err := member.Sync()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sync.Peers { // with whom it had a catch-up session
		known = append(known, p.PeerID.String())
	}
	remembered, err := os.ReadFile(filepath.Join(n.Nodes[i].dir, "peers.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	known = append(known, regexp.MustCompile(`12D3KooW\w+`).FindAllString(string(remembered), -1)...)
	for _, id := range known {
		if !slices.ContainsFunc(n.Nodes, func(d *Node) bool { return d.ID.String() == id }) {
			t.Errorf("node %d knows %s, who is no node", i, id)
		}
	}
	return n.Neighbours(i)
}

// TestMapLeavesNoTrace has one end of a line draw a map of it again and again:
// nobody is connected to anybody new, nor takes who asked for a member.
func TestMapLeavesNoTrace(t *testing.T) {
	Run(t, 1, options(), func(t *testing.T, n *Network) {
		n.Start(n.Line(6)...)
		together(t, n, "at first")
		n.Sleep(time.Minute)
		for range 5 {
			want := "0! 1! 2! 3! 4! 5!  0-1(2) 1-2(2) 2-3(2) 3-4(2) 4-5(2)  complete: true"
			if got := n.mapOf(t, 0); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			n.Sleep(10 * time.Second)
		}
		for i := range n.Nodes {
			want := []int{i - 1, i + 1}
			switch i {
			case 0:
				want = want[1:]
			case 5:
				want = want[:1]
			}
			if got := n.traces(t, i); !slices.Equal(got, want) {
				t.Errorf("node %d has %v on its topic, want %v", i, got, want)
			}
		}
	})
}

// TestMapWithDiscovery draws a map of a network in which nobody knows everyone.
func TestMapWithDiscovery(t *testing.T) {
	Run(t, 1, discovering(), func(t *testing.T, n *Network) {
		n.Start(n.Star(16)...)
		together(t, n, "at first")
		n.Sleep(2 * time.Minute)
		m, err := n.Nodes[15].Member().Map(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		answered := 0
		for _, node := range m.Nodes {
			if node.State == status.Answered {
				answered++
			}
		}
		if answered != 16 || len(m.Nodes) != 16 || m.Asked != 15 || !m.Complete {
			t.Errorf("%d of %d answered, %d asked, complete: %t", answered, len(m.Nodes), m.Asked, m.Complete)
		}
		n.Sleep(time.Minute)
		for i := range n.Nodes {
			n.traces(t, i)
		}
	})
}

// TestMapBeyondALiar has a node in the middle of a line tell of the next one, and
// of crowds that nobody has seen, at an address where nobody is.
func TestMapBeyondALiar(t *testing.T) {
	Run(t, 1, options(), func(t *testing.T, n *Network) {
		n.Start(n.Line(6)...)
		together(t, n, "at first")
		n.Sleep(time.Minute)
		lie := liesAbout(t, n, 3)
		n.Nodes[2].Host().SetStreamHandler(status.Protocol, func(s network.Stream) {
			s.Write(lie)
			s.Close()
		})
		m, err := n.Nodes[0].Member().Map(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range n.Nodes {
			if !slices.ContainsFunc(m.Nodes, func(o status.Node) bool { return o.PeerID == d.ID && o.State == status.Answered }) {
				t.Errorf("node %d has not answered", i)
			}
		}
		if len(m.Nodes) != len(n.Nodes)+status.MaxPeers-1 || m.Left == 0 || m.Complete {
			t.Errorf("%d nodes, %d left, complete: %t", len(m.Nodes), m.Left, m.Complete)
		}
		n.Sleep(time.Minute)
		for i := range n.Nodes {
			n.traces(t, i)
		}
	})
}

// liesAbout encodes what a liar tells: of the i-th node, and of made-up ones.
func liesAbout(t *testing.T, n *Network, i int) []byte {
	t.Helper()
	told := func(id peer.ID, at multiaddr.Multiaddr) []byte {
		p := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), string(id))
		return protowire.AppendBytes(protowire.AppendTag(p, 4, protowire.BytesType), at.Bytes())
	}
	b := protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 10_000)
	for k := range status.MaxPeers {
		p := told(n.Nodes[i].ID, quicAddr(i))
		if k > 0 {
			id, err := peer.IDFromPrivateKey(identity(n.seed, 1000+k))
			if err != nil {
				t.Fatal(err)
			}
			p = told(id, multiaddr.StringCast(fmt.Sprintf("/ip4/1.0.200.200/udp/%d/quic-v1", k)))
		}
		b = protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), p)
	}
	return b
}
