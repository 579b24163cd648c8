package status

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// letters stand for peers: claims are drawn as "a: b c*", where a star is the
// mesh.
func drawn(lines ...string) Map {
	var claims []claim
	for _, line := range lines {
		by, peers, _ := strings.Cut(line, ":")
		c := claim{by: peer.ID(by)}
		for p := range strings.FieldsSeq(peers) {
			if p == "..." {
				c.report.TopicPeers++
				continue
			}
			id, mesh := strings.CutSuffix(p, "*")
			c.report.Peers = append(c.report.Peers, Peer{ID: peer.ID(id), InMesh: mesh, RTT: time.Duration(by[0])})
			c.report.TopicPeers++
		}
		claims = append(claims, c)
	}
	return draw(claims, func(peer.ID) State { return Unreached })
}

// written is a map in the same letters: nodes with an ! if they answered, then
// links with who claims them.
func written(m Map) string {
	var b strings.Builder
	for _, n := range m.Nodes {
		b.WriteString(string(n.PeerID))
		if n.State == Answered {
			b.WriteString("!")
		}
		for _, id := range n.SeenBy {
			b.WriteString(string(id))
		}
		b.WriteString(" ")
	}
	for _, e := range m.Edges {
		b.WriteString(string(e.From + "-" + e.To))
		if e.InMesh {
			b.WriteString("*")
		}
		b.WriteString("(")
		for _, id := range e.ClaimedBy {
			b.WriteString(string(id))
		}
		b.WriteString(") ")
	}
	if m.Complete {
		b.WriteString("complete")
	} else {
		b.WriteString("incomplete")
	}
	return b.String()
}

func TestDraw(t *testing.T) {
	for _, test := range []struct {
		name   string
		claims []string
		want   string
	}{
		{"alone", []string{"a:"}, "a! complete"},
		{"two", []string{"a: b*", "b: a"}, "a!b b!a a-b*(ab) complete"},
		{"two, one of whom is silent", []string{"a: b"}, "a! ba a-b(a) incomplete"},
		{"a triangle", []string{"a: b c", "b: a c*", "c: a b"}, "a!bc b!ac c!ab a-b(ab) a-c(ac) b-c*(bc) complete"},
		{"a line from its end", []string{"a: b", "b: a c"}, "a!b b!a cb a-b(ab) b-c(b) incomplete"},
		{"a ring of four", []string{"a: b d", "b: a c", "d: a c"}, "a!bd b!a d!a cbd a-b(ab) a-d(ad) b-c(b) d-c(d) incomplete"},
		{"a link that its other end denies", []string{"a: b c", "b: a c", "c: a"}, "a!bc b!a c!ab a-b(ab) a-c(ac) b-c(b) complete"},
		{"who tells of itself", []string{"a: b", "b: b a"}, "a!b b!a a-b(ab) complete"},
		{"who does not tell of all", []string{"a: b", "b: a ..."}, "a!b b!a a-b(ab) incomplete"},
		{"made-up ones come last", []string{"a: b c", "b: y z", "c: a b"}, "a!c b!ac c!a yb zb a-b(a) a-c(ac) c-b(c) b-y(b) b-z(b) incomplete"},
	} {
		if got := written(drawn(test.claims...)); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestDrawTakesTheFirstRTT(t *testing.T) {
	m := drawn("a: b", "b: a")
	if m.Edges[0].RTT != 'a' {
		t.Errorf("the link has the RTT that %c claims", rune(m.Edges[0].RTT))
	}
}

// TestDrawIsBounded lets everybody lie as much as an answer holds.
func TestDrawIsBounded(t *testing.T) {
	const liars = maxAsked - 1
	id := func(i int) peer.ID { return peer.ID(string(rune(0x1000 + i))) }
	self := claim{by: "self", report: Report{TopicPeers: liars + 1}}
	claims := []claim{{}}
	for i := range liars {
		self.report.Peers = append(self.report.Peers, Peer{ID: id(i)})
		c := claim{by: id(i), report: Report{TopicPeers: MaxPeers}}
		for j := range MaxPeers {
			c.report.Peers = append(c.report.Peers, Peer{ID: id(1000 + i*MaxPeers + j)})
		}
		claims = append(claims, c)
	}
	self.report.Peers = append(self.report.Peers, Peer{ID: "honest"})
	claims = append(claims, claim{by: "honest", report: Report{Agent: "honest", TopicPeers: 1, Peers: []Peer{{ID: "self"}}}})
	claims[0] = self
	unreached := func(peer.ID) State { return Unreached }
	m := draw(claims, unreached)
	if heardOf := 2 + liars + liars*MaxPeers; len(m.Nodes) != maxNodes || len(m.Nodes)+m.Undrawn != heardOf || len(m.Edges) > maxEdges || m.Complete {
		t.Errorf("%d nodes, %d more, %d links, complete: %v", len(m.Nodes), m.Undrawn, len(m.Edges), m.Complete)
	}
	i := slices.IndexFunc(m.Nodes, func(n Node) bool { return n.PeerID == "honest" })
	if i < 0 || m.Nodes[i].Agent != "honest" {
		t.Error("the liars took the honest one's place")
	}
	if !slices.ContainsFunc(m.Edges, func(e Edge) bool { return e.To == "honest" && len(e.ClaimedBy) == 2 }) {
		t.Error("the liars took the honest one's link")
	}
	// The same nodes, all of whom claim all links there are room for.
	for i := range claims {
		claims[i].report.Peers = nil
		for j := range MaxPeers {
			claims[i].report.Peers = append(claims[i].report.Peers, Peer{ID: claims[(i+j+1)%len(claims)].by})
		}
	}
	if m = draw(claims, unreached); len(m.Edges) != maxEdges || m.Complete {
		t.Errorf("%d links, complete: %v", len(m.Edges), m.Complete)
	}
}
