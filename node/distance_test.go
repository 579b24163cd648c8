package node

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// far makes a candidate: named, so far away, and with a place in the lot.
func far(id string, rtt time.Duration, lot uint64) candidate {
	return candidate{id: peer.ID(id), rtt: rtt, lot: lot}
}

func (c candidate) held() candidate    { c.inMesh = true; return c }
func (c candidate) dialled() candidate { c.outbound = true; return c }

func idsOf(candidates []candidate) []string {
	ids := make([]string, 0, len(candidates))
	for _, c := range candidates {
		ids = append(ids, string(c.id))
	}
	return ids
}

func TestPick(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name       string
		candidates []candidate
		near       []string
		drawn      []string
	}{
		{name: "nobody", near: []string{}, drawn: []string{}},
		{
			name:       "none is measured: none is near",
			candidates: []candidate{far("a", 0, 2), far("b", 0, 1)},
			near:       []string{}, drawn: []string{"b", "a"},
		},
		{
			name: "the nearest, then the lot",
			candidates: []candidate{
				far("a", 90*ms, 5), far("b", 10*ms, 9), far("c", 20*ms, 8), far("d", 80*ms, 4),
				far("e", 30*ms, 7), far("f", 0, 3), far("g", 40*ms, 6), far("h", 70*ms, 1),
			},
			near: []string{"b", "c", "e", "g"}, drawn: []string{"h", "f", "d"},
		},
		{
			name: "those this node dialled are drawn first",
			candidates: []candidate{
				far("a", 1*ms, 1), far("b", 1*ms, 2), far("c", 1*ms, 3), far("d", 1*ms, 4),
				far("e", 9*ms, 1), far("f", 9*ms, 2), far("g", 9*ms, 3), far("h", 9*ms, 4).dialled(), far("i", 9*ms, 5).dialled(),
			},
			near: []string{"a", "b", "c", "d"}, drawn: []string{"h", "i", "e"},
		},
		{
			name: "a little nearer is not enough to push out",
			candidates: []candidate{
				far("a", 100*ms, 1).held(), far("b", 100*ms, 2).held(), far("c", 100*ms, 3).held(), far("d", 100*ms, 4).held(),
				far("e", 80*ms, 5), far("f", 78*ms, 6),
			},
			near: []string{"f", "a", "b", "c"}, drawn: []string{"d", "e"},
		},
		{
			name: "on one machine all are equally near",
			candidates: []candidate{
				far("a", 900*time.Microsecond, 1).held(), far("b", ms, 2).held(), far("c", ms, 3).held(), far("d", 2*ms, 4).held(),
				far("e", time.Microsecond, 5),
			},
			near: []string{"a", "b", "c", "d"}, drawn: []string{"e"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, drawn := pick(tt.candidates)
			if got := idsOf(near); !slices.Equal(got, tt.near) {
				t.Errorf("near: %v, not %v", got, tt.near)
			}
			if got := idsOf(drawn); !slices.Equal(got, tt.drawn) {
				t.Errorf("drawn: %v, not %v", got, tt.drawn)
			}
		})
	}
}

// chooser is a [distance] of members 0, 1, 2... that are 10 ms farther each,
// none of which this node dialled.
type chooser struct {
	*distance
	members []peer.ID
	mesh    map[peer.ID]bool
	rtts    map[peer.ID]time.Duration
}

func newChooser(t *testing.T, members int) *chooser {
	t.Helper()
	c := &chooser{mesh: make(map[peer.ID]bool), rtts: make(map[peer.ID]time.Duration)}
	for i := range members {
		id := peer.ID(fmt.Sprintf("%04d", i))
		c.members = append(c.members, id)
		c.rtts[id] = time.Duration(i+1) * 10 * time.Millisecond
	}
	c.distance = newDistance(distanceConfig{
		Host:    startHost(t, HostConfig{}),
		Members: func() []peer.ID { return c.members },
		RTT:     func(id peer.ID) time.Duration { return c.rtts[id] },
		InMesh:  func(id peer.ID) bool { return c.mesh[id] },
	})
	return c
}

func (c *chooser) chooseAt(now time.Time) { c.wanted.Store(c.choose(now)) }

func TestChooseSmall(t *testing.T) {
	c := newChooser(t, meshHigh-1)
	c.chooseAt(time.Now())
	for _, id := range c.members {
		if s := c.score(id); s != scorePlain {
			t.Errorf("%s of few scores %v", id, s)
		}
	}
	c = newChooser(t, meshHigh)
	c.chooseAt(time.Now())
	if got := len(c.wanted.Load().scores); got != meshDegree {
		t.Errorf("%d of many are wanted", got)
	}
}

// TestChooseAgain follows one near peer that never comes into the mesh, and one
// drawn by lot that does.
func TestChooseAgain(t *testing.T) {
	c := newChooser(t, 20)
	nearest := c.members[0]
	began := time.Now()
	now := began
	step := func(d time.Duration) {
		t.Helper()
		for end := now.Add(d); now.Before(end); now = now.Add(chooseTick) {
			c.chooseAt(now)
			for id := range c.wanted.Load().scores {
				c.mesh[id] = id != nearest
			}
		}
	}
	step(graftPatience - chooseTick)
	if s := c.score(nearest); s != scoreMissing {
		t.Fatalf("a missing peer scores %v", s)
	}
	if w := c.wanted.Load(); w.near != meshNear-1 || w.drawn != meshDrawn {
		t.Errorf("the mesh has %d near and %d drawn peers", w.near, w.drawn)
	}
	if s := c.score(c.members[1]); s != scoreHeld {
		t.Errorf("a wanted peer in the mesh scores %v", s)
	}
	for rest := firstRest; rest < maxRest; rest *= 2 {
		step(4 * chooseTick)
		if s := c.score(nearest); s != scorePlain {
			t.Fatalf("a peer that stays away is not let be: %v", s)
		}
		if w := c.wanted.Load(); w.near != meshNear {
			t.Errorf("nobody takes its place: %d near peers", w.near)
		}
		step(rest - 10*chooseTick)
		if s := c.score(nearest); s != scorePlain {
			t.Fatalf("it is wanted again before %s have passed", rest)
		}
		for c.score(nearest) != scoreMissing { // at most half as long again
			step(chooseTick)
			if now.Sub(began) > 10*maxRest {
				t.Fatal("it is never wanted again")
			}
		}
		step(graftPatience)
	}
	c.mesh[nearest] = true
	c.members = c.members[1:]
	step(2 * chooseTick)
	if _, ok := c.wishes[nearest]; ok {
		t.Error("what is known of a peer that left is kept")
	}
}

func TestWishIsFulfilled(t *testing.T) {
	now := time.Now()
	w := &wish{}
	w.wait(now)
	if w.wait(now.Add(graftPatience)) || w.rest != firstRest {
		t.Fatalf("%+v", w)
	}
	w.come(now)
	w.come(now.Add(firstRest - 1))
	if w.rest == 0 {
		t.Error("a short stay makes up for all refusals")
	}
	w.come(now.Add(firstRest))
	if w.rest != 0 {
		t.Error("a long stay doesn't make up for refusals")
	}
}

// TestScores checks that being wanted never makes up for misbehaviour, and that
// no honest peer is let down for where it is.
func TestScores(t *testing.T) {
	for _, s := range []float64{scorePlain, scoreHeld, scoreMissing} {
		if s <= 0 || s > scoreMissing {
			t.Errorf("a score of %v", s)
		}
	}
	if scoreHeld >= scoreGraft || scoreGraft > scoreMissing || scorePlain >= scoreHeld {
		t.Error("GossipSub grafts others than those that are missing")
	}
	if scorePlain+invalidWeight >= 0 || scoreMissing+2*2*invalidWeight >= 0 {
		t.Error("an invalid message is free")
	}
	if scorePlain+invalidWeight*9*9 < gossipThreshold {
		t.Error("9 invalid messages cost gossip")
	}
}

func TestShortestOfTheLast(t *testing.T) {
	const id = peer.ID("a")
	p := newPinger(pingerConfig{})
	p.record(id, time.Second)
	if got := p.rtt(id); got != 0 {
		t.Errorf("%s to a stranger", got)
	}
	p.peers[id] = &pinged{}
	if got := p.rtt(id); got != 0 {
		t.Errorf("%s before any measurement", got)
	}
	for _, step := range []struct{ took, want time.Duration }{
		{30, 30}, {900, 30}, {20, 20}, {40, 20}, {900, 20}, {900, 20}, {900, 20}, {900, 40}, {50, 50},
	} {
		p.record(id, step.took)
		if got := p.rtt(id); got != step.want {
			t.Errorf("%s after one of %s, not %s", got, step.took, step.want)
		}
	}
}
