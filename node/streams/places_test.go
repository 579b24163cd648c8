package streams

import (
	"strconv"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestPlaces has more strangers and greedy peers come than there are places.
func TestPlaces(t *testing.T) {
	p := NewPlaces(20, 4)
	// take has n peers want a place, and returns how many get one: of different
	// names where # is in it.
	take := func(n int, name string, member bool) (got int) {
		for i := range n {
			if p.Take(peer.ID(strings.ReplaceAll(name, "#", strconv.Itoa(i))), member) {
				got++
			}
		}
		return got
	}
	for _, test := range []struct {
		who    string
		n      int
		member bool
		want   int
	}{
		{"greedy", 10, true, 4},
		{"a stranger, #", 20, false, 10},
		{"a member, #", 20, true, 6},
		{"a member more, #", 1, true, 0},
	} {
		if got := take(test.n, test.who, test.member); got != test.want {
			t.Errorf("%q: %d of %d got a place, want %d", test.who, got, test.n, test.want)
		}
	}
	if n := p.Taken(); n != 20 {
		t.Errorf("%d places are taken, not 20", n)
	}
	p.Leave("a stranger, 0", false)
	if take(1, "a stranger at last, #", false) != 1 {
		t.Error("a stranger's free place was refused")
	}
	p.Leave("greedy", true)
	if take(1, "another stranger, #", false) != 0 {
		t.Error("a stranger got a place of the members' half")
	}
	if take(1, "greedy", true) != 1 {
		t.Error("a free place was refused")
	}
	for range 4 {
		p.Leave("greedy", true)
	}
	if _, known := p.by["greedy"]; known {
		t.Error("who has no place is remembered")
	}
}
