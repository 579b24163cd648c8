package catchup

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestGate(t *testing.T) {
	start := time.Unix(0, 0)
	id := func(i int) peer.ID { return peer.ID(fmt.Sprintf("peer %02d", i)) }

	t.Run("one a peer", func(t *testing.T) {
		g := newGate("m")
		if g.enter("a", start) != 0 || g.enter("a", start) == 0 {
			t.Error("two at a time")
		}
		if g.call("a") {
			t.Error("a call to a peer that is in")
		}
		g.leave("a", start, 0, 0)
		if !g.call("a") || g.call("a") {
			t.Error("not one call at a time")
		}
		g.met("a")
		if g.enter("a", start) == 0 {
			t.Error("in while we talk")
		}
		g.hangUp("a")
		if g.enter("a", start) != 0 {
			t.Error("not in after we have talked")
		}
	})
	t.Run("both call", func(t *testing.T) {
		for _, pair := range [][2]peer.ID{{"a", "b"}, {"b", "a"}} {
			self, other := newGate(pair[0]), newGate(pair[1])
			self.call(pair[1])
			other.call(pair[0])
			in, out := self.enter(pair[1], start) == 0, other.enter(pair[0], start) == 0
			if in == out {
				t.Errorf("%v: in %t, out %t", pair, in, out)
			}
		}
	})
	t.Run("so many", func(t *testing.T) {
		g := newGate("m")
		for i := range maxInbound {
			if g.enter(id(i), start) != 0 {
				t.Fatalf("%d are too many", i+1)
			}
		}
		if g.enter(id(99), start) == 0 {
			t.Error("too many")
		}
		g.leave(id(0), start, 0, 0)
		if g.enter(id(0), start) == 0 {
			t.Error("the one that just left is in again, and others wait")
		}
		if g.enter(id(99), start) != 0 {
			t.Error("no place for who waited")
		}
	})
	t.Run("at a price", func(t *testing.T) {
		g := newGate("m")
		now, in := start, 0
		for ; now.Before(start.Add(time.Minute)); now = now.Add(10 * time.Millisecond) {
			if g.enter("a", now) == 0 {
				in++
				g.leave("a", now, 3_000_000, 0)
			}
		}
		if most := (peerBurst+60*peerRate)/3_000_000 + 1; in > most || in < most/2 {
			t.Errorf("%d sessions in a minute, want about %d", in, most)
		}
		if wait := g.enter("a", now); wait <= 0 || g.enter("a", now.Add(wait+time.Millisecond)) != 0 {
			t.Errorf("put off by %s", wait)
		}
	})
	t.Run("all together", func(t *testing.T) {
		g := newGate("m")
		in := 0
		for i := range 1000 {
			if g.enter(id(i), start) == 0 {
				in++
				g.leave(id(i), start, 1_000_000, 0)
			}
		}
		if in > allBurst/1_000_000+1 {
			t.Errorf("%d sessions of new peers at once", in)
		}
	})
	t.Run("memory", func(t *testing.T) {
		g := newGate("m")
		for i := range 3 * maxBuckets {
			g.enter(id(i), start.Add(time.Duration(i)*time.Second))
			g.leave(id(i), start.Add(time.Duration(i)*time.Second), 0, 0)
		}
		if len(g.buckets) > maxBuckets {
			t.Errorf("%d peers are remembered", len(g.buckets))
		}
	})
}

func TestRhythm(t *testing.T) {
	var r rhythm
	var last time.Duration
	for i := range 20 {
		n := r.round(7)
		low, high := r.interval(0), r.interval(0.999999)
		switch {
		case i < quietAfter:
			if n != askMany || low != minInterval || high > maxInterval {
				t.Errorf("round %d: %d peers, %s to %s", i, n, low, high)
			}
		case n != 1 || low < last || high > quietInterval:
			t.Errorf("quiet round %d: %d peers, %s to %s", i, n, low, high)
		}
		last = low
	}
	if last != quietInterval || !r.relaxed() {
		t.Errorf("%s when it is quiet for long", last)
	}
	if r.round(8) != askMany || r.relaxed() {
		t.Error("an entry has come, and nothing changes")
	}
	for range 20 {
		r.round(8)
	}
	if r.disturb(); r.relaxed() || r.interval(0) != minInterval {
		t.Error("a disturbance changes nothing")
	}
}

func TestDeck(t *testing.T) {
	var d deck
	present := []peer.ID{"a", "b", "c", "d", "e"}
	count := map[peer.ID]int{}
	for range 10 {
		drawn := d.draw(2, present)
		if len(drawn) != 2 || drawn[0] == drawn[1] {
			t.Fatalf("drawn %v", drawn)
		}
		for _, p := range drawn {
			count[p]++
		}
	}
	for p, n := range count {
		if n < 3 || n > 5 { // 20 drawn of 5
			t.Errorf("%s was drawn %d times", p, n)
		}
	}
	if got := d.draw(3, []peer.ID{"z"}); len(got) != 1 || got[0] != "z" {
		t.Errorf("drawn %v", got)
	}
	if got := d.draw(3, nil); len(got) != 0 {
		t.Errorf("drawn %v of nobody", got)
	}
}

func TestQueue(t *testing.T) {
	var q queue
	at := time.Unix(100, 0)
	if _, ok := q.when(); ok {
		t.Error("an empty queue is due")
	}
	q.add("a", at.Add(time.Second))
	q.add("b", at)
	q.add("a", at.Add(time.Minute)) // no later
	q.add("c", at)
	if when, ok := q.when(); !ok || !when.Equal(at) {
		t.Errorf("due at %v", when)
	}
	for _, want := range []peer.ID{"b", "c", ""} {
		if got, _ := q.next(at); got != want {
			t.Errorf("next is %q, want %q", got, want)
		}
	}
	if got, _ := q.next(at.Add(time.Second)); got != "a" {
		t.Errorf("next is %q", got)
	}
	for i := range 2 * maxQueue {
		q.add(peer.ID(fmt.Sprint(i)), at)
	}
	if len(q.waiting) != maxQueue {
		t.Errorf("%d are waiting", len(q.waiting))
	}
}

func TestPace(t *testing.T) {
	p := pace{}
	if got := p.allowance(0); got != patience {
		t.Errorf("%s for the first byte", got)
	}
	p = pace{used: 30 * time.Second, bytes: 30}
	if got := p.allowance(0); got > 0 {
		t.Errorf("a byte a second is given %s more", got)
	}
	p = pace{used: 30 * time.Second, bytes: 30 * slowest}
	if got := p.allowance(0); got != patience {
		t.Errorf("who keeps up is given %s", got)
	}
}
