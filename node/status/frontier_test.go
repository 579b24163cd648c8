package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// world answers as the nodes of a network would: what each tells of whom. Those
// it does not name don't answer.
type world map[string][]Peer

// at is a peer that is told of, at addresses that only differ in their hosts'
// last byte.
func at(id string, hosts ...int) Peer {
	p := Peer{ID: peer.ID(id)}
	for _, host := range hosts {
		p.Addrs = append(p.Addrs, ma.StringCast(fmt.Sprintf("/ip4/1.0.%d.%d/tcp/1", host>>8, host&0xff)))
	}
	return p
}

// answersAt tells where somebody does: nowhere on hosts whose last byte is 0.
func answersAt(a address) bool { return a.ip.As4()[3] != 0 }

// explore has a frontier ask the world, some at a time, and returns whom, in
// order.
func explore(w world, atOnce int) (*frontier, []string) {
	f := newFrontier("self")
	f.hear(f.self, w["self"], true)
	var order []string
	var active []question
	for {
		for len(active) < atOnce {
			q, ok := f.next()
			if !ok {
				break
			}
			order = append(order, string(q.to.id))
			active = append(active, q)
		}
		if len(active) == 0 {
			return f, order
		}
		q := active[0]
		active = active[1:]
		told, ok := w[string(q.to.id)]
		if !ok || !q.near && !slices.ContainsFunc(q.addrs, answersAt) {
			f.done(q, Unreached)
			continue
		}
		f.done(q, Answered)
		f.hear(q.to, told, false)
	}
}

func TestFrontierAsksInTurn(t *testing.T) {
	for _, test := range []struct {
		name string
		w    world
		want string
	}{
		{"alone", world{}, ""},
		{"a line", world{"self": {at("a")}, "a": {at("self", 9), at("b", 1)}, "b": {at("a", 9), at("c", 2)}, "c": {at("b", 1)}}, "a b c"},
		{"neighbours first", world{"self": {at("a"), at("b")}, "a": {at("c", 1)}, "b": {at("d", 2)}, "c": {at("e", 3)}, "d": nil, "e": nil}, "a b c d e"},
		{"in turn", world{
			"self": {at("a"), at("b")}, "a": {at("a1", 1), at("a2", 2), at("a3", 3)}, "b": {at("b1", 4), at("b2", 5)},
			"a1": nil, "a2": nil, "a3": nil, "b1": nil, "b2": nil,
		}, "a b a1 b1 a2 b2 a3"},
		{"below a branch as well", world{
			"self": {at("a")}, "a": {at("b", 1), at("c", 2)}, "b": {at("b1", 3), at("b2", 4)}, "c": {at("c1", 5), at("c2", 6)},
			"b1": nil, "b2": nil, "c1": nil, "c2": nil,
		}, "a b c b1 c1 b2 c2"},
		{"no address, no question", world{"self": {at("a")}, "a": {at("b"), at("c", 1)}, "c": nil}, "a c"},
		{"who does not answer is asked where it was not sought", world{
			"self": {at("a"), at("b")}, "a": {at("x", 256)}, "b": {at("x", 256, 7)}, "x": {},
		}, "a b x x"},
		{"and no more often than that", world{"self": {at("a"), at("b")}, "a": {at("x", 256)}, "b": {at("x", 256)}, "x": {}}, "a b x"},
	} {
		f, order := explore(test.w, 1)
		if got := strings.Join(order, " "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if f.asked != len(order) || f.left() != 0 {
			t.Errorf("%s: %d asked, %d left", test.name, f.asked, f.left())
		}
	}
}

// TestEndlessPeers has a neighbour whose peers all answer, each with as many
// more as it may tell of, and another one that leads to honest nodes.
func TestEndlessPeers(t *testing.T) {
	w := world{"self": {at("liar"), at("honest")}}
	n := 0
	crowd := func() (peers []Peer) {
		for range MaxPeers {
			n++
			peers = append(peers, at(fmt.Sprintf("made-up-%d", n), n))
		}
		return peers
	}
	w["liar"] = crowd()
	for i := 1; i <= maxAsked; i++ {
		w[fmt.Sprintf("made-up-%d", i)] = crowd()
	}
	for i := range 50 {
		near, far := fmt.Sprint("honest-", i), fmt.Sprint("honest-far-", i)
		w["honest"] = append(w["honest"], at(near, 40_001+2*i))
		w[near], w[far] = []Peer{at(far, 50_001+2*i)}, nil
	}
	f, order := explore(w, maxAsks)
	honest := 0
	for _, id := range order {
		if strings.HasPrefix(id, "honest") {
			honest++
		}
	}
	if len(order) != maxAsked || honest != 101 {
		t.Errorf("%d were asked, of 101 honest ones %d", len(order), honest)
	}
	if f.left() < 1000 {
		t.Errorf("only %d are left", f.left())
	}
}

// TestVictims has liars name addresses where nobody is whom they say.
func TestVictims(t *testing.T) {
	one := world{"self": {at("liar")}}
	for i := range MaxPeers { // ports of one host
		p := at(fmt.Sprint("port-", i))
		p.Addrs = []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/9.9.9.9/tcp/%d", i+1)), ma.StringCast(fmt.Sprintf("/ip4/9.9.9.9/udp/%d/quic-v1", i+1))}
		one["liar"] = append(one["liar"], p)
	}
	f, order := explore(one, maxAsks)
	if n := len(order) - 1; n < maxFailuresAt || n >= maxFailuresAt+maxAsks {
		t.Errorf("%d were sought at one host", n)
	}
	if f.left() != MaxPeers-len(order)+1 {
		t.Errorf("%d of %d are left", f.left(), MaxPeers)
	}

	many := world{"self": {at("liar"), at("other")}, "other": {at("x", 1)}, "x": nil}
	for i := range MaxPeers { // a host each
		many["liar"] = append(many["liar"], at(fmt.Sprint("host-", i), 1000+4*i, 1001+4*i, 1002+4*i, 1003+4*i))
	}
	_, order = explore(many, maxAsks)
	if n := len(order) - 3; n < maxFailures || n >= maxFailures+maxAsks {
		t.Errorf("%d were sought on a liar's word", n)
	}
	if !slices.Contains(order, "x") {
		t.Error("the other's word counts no more either")
	}
}

func TestTries(t *testing.T) {
	w := world{"self": nil}
	for i := range 2 * maxTries { // each sends us to another place
		by := fmt.Sprint("by-", i)
		w["self"] = append(w["self"], at(by))
		w[by] = []Peer{at("nobody", 10+i)}
	}
	_, order := explore(w, 1)
	if n := len(order) - 2*maxTries; n != maxTries {
		t.Errorf("one was sought %d times", n)
	}
}

func TestStates(t *testing.T) {
	mute, shy := at("mute"), at("shy", 1)
	mute.Silent, shy.Silent = true, true // but somebody tells where it is
	f, _ := explore(world{"self": {at("a"), at("b")}, "a": {mute, shy, at("nowhere")}, "shy": nil}, 1)
	for id, want := range map[string]State{
		"self": Answered, "a": Answered, "b": Unreached, "mute": Silent, "shy": Answered, "nowhere": Unasked, "unheard": Unasked,
	} {
		if got := f.stateOf(peer.ID(id)); got != want {
			t.Errorf("%s is %v, want %v", id, got, want)
		}
	}
	if f.left() != 0 {
		t.Errorf("%d are left", f.left())
	}
	f.grounded = true
	f.hear(f.self, []Peer{at("far", 5)}, false)
	if q, ok := f.next(); ok || f.left() != 1 {
		t.Errorf("asked %v without a host, %d left", q.to.id, f.left())
	}
}
