package catchup

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// clockOf is the clock of those that talk in tests: long after all entries.
const clockOf = epoch + 10_000_000_000

// talked is what one session of two talks took.
type talked struct {
	trips int // round trips, begun ones included
	bytes int // of frames, both ways, without entries
	left  bool
	moved int // keys
	equal bool
}

// converse has a session between two sets without a network: all that is said
// goes through the codec, and of entries only the keys go over.
func converse(tb testing.TB, a, b *memory, budget int) talked {
	tb.Helper()
	return converseAt(tb, a, b, clockOf, clockOf, budget)
}

func converseAt(tb testing.TB, a, b *memory, clockA, clockB int64, budget int) talked {
	tb.Helper()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	var got talked
	sent := func(k kind, payload []byte) { got.bytes += len(appendFrame(nil, k, payload)) }

	ours, theirs := newTalk(a, salt{1}), newTalk(b, salt{2})
	h, err := ours.begin(hello{clock: clockA, floor: a.floor, takes: true}, horizon(clockA))
	must(err)
	sent(kindHello, h.encode())
	heard, err := decodeHello(h.encode())
	must(err)
	if heard != h {
		tb.Fatalf("a hello changed on its way: %+v, %+v", h, heard)
	}
	w, err := theirs.welcome(h, welcome{clock: clockB, floor: b.floor, takes: true})
	must(err)
	sent(kindWelcome, w.encode(h))
	v, err := decodeWelcome(w.encode(h), h)
	must(err)
	if v != w {
		tb.Fatalf("a welcome changed on its way: %+v, %+v", w, v)
	}
	ours.welcomed(h, v)
	got.trips = 1
	if w.equal {
		got.equal = true
		return got
	}
	from, to, fromSet, toSet := theirs, ours, b, a
	for n := 1; ; n++ {
		said := from.say()
		for _, payload := range said.ranges {
			sent(kindRanges, payload)
			must(to.hear(payload))
		}
		moved := deliver(tb, fromSet, toSet, said.send, budget-got.moved)
		got.moved += moved
		if budget == got.moved {
			said.end.left, from.left = true, true
		}
		sent(kindEnd, said.end.encode())
		to.heard(said.end)
		over := to.over(said.end, len(said.ranges))
		if over != said.over {
			tb.Fatalf("one side says over is %t, the other %t", said.over, over)
		}
		got.trips = 1 + n/2
		if over {
			break
		}
		if n > 2*maxTurns {
			tb.Fatal("a session without end")
		}
		from, to, fromSet, toSet = to, from, toSet, fromSet
	}
	got.left = ours.left || theirs.left
	return got
}

// deliver carries over what is planned, and checks its order.
func deliver(tb testing.TB, from, to *memory, plan []segment, budget int) int {
	tb.Helper()
	var keys []entry.Key
	for _, s := range plan {
		if s.keys != nil {
			for _, k := range s.keys {
				if from.Has(k) {
					keys = append(keys, k)
				}
			}
			continue
		}
		for _, k := range from.within(s.lo, s.hi) {
			if !slices.Contains(s.have, s.salt.short(k.ID)) {
				keys = append(keys, k)
			}
		}
	}
	keys = keys[:min(len(keys), budget)]
	if !slices.IsSortedFunc(keys, entry.Key.Compare) {
		tb.Fatal("entries are sent out of order")
	}
	for _, k := range keys {
		if to.Has(k) {
			tb.Fatalf("an entry is sent that is held already: %v", k)
		}
	}
	to.put(keys...)
	return len(keys)
}

func TestSessions(t *testing.T) {
	const n = 20_000
	all := keysOf("all", 0, n)
	without := func(from, to int) []entry.Key { return slices.Concat(all[:from], all[to:]) }
	scattered := func(every int) (rest []entry.Key) {
		for i, k := range all {
			if i%every != every/2 {
				rest = append(rest, k)
			}
		}
		return rest
	}
	crowd := make([]entry.Key, 3000) // all of one millisecond
	for i := range crowd {
		crowd[i] = entry.Key{Time: epoch, ID: idOf("crowd", i)}
	}
	tests := []struct {
		name  string
		a, b  []entry.Key
		trips int
		bytes int
	}{
		{"both empty", nil, nil, 1, 100},
		{"equal", all, all, 1, 100},
		{"the initiator has nothing", nil, all, 1, 100},
		{"the responder has nothing", all, nil, 2, 120},
		{"one entry against none", all[:1], nil, 2, 120},
		{"none against one entry", nil, all[:1], 1, 120},
		{"one lacks the newest", all[:n-1], all, 4, 4000},
		{"the other lacks the newest", all, all[:n-1], 4, 4000},
		{"one lacks the oldest", all[1:], all, 4, 4000},
		{"one lacks a gap", without(7_000, 8_000), all, 4, 40 * 1000},
		{"the other lacks a gap", all, without(7_000, 8_000), 4, 40 * 1000},
		{"one lacks every hundredth", scattered(100), all, 4, 400 * n / 100},
		{"halves", all[:n/2], all[n/2:], 4, 10_000},
		{"odd and even", scattered(2), keysOf("other", 0, n), 5, 60 * n},
		{"of one millisecond", crowd[:2000], crowd[1000:], 4, 60 * 2000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newMemory(tt.a...), newMemory(tt.b...)
			got := converse(t, a, b, 1<<30)
			t.Logf("%+v", got)
			if got.left {
				t.Error("something is left")
			}
			same(t, a, b)
			if got.trips > tt.trips || got.bytes > tt.bytes {
				t.Errorf("%d round trips and %d bytes, want at most %d and %d", got.trips, got.bytes, tt.trips, tt.bytes)
			}
			if again := converse(t, a, b, 1<<30); !again.equal {
				t.Error("a session between equals does not say so")
			}
		})
	}
}

// TestAnySets lets any sets talk: two, or three in a ring.
func TestAnySets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sets := make([]*memory, rapid.IntRange(2, 3).Draw(rt, "sets"))
		draw := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		size := rapid.SampledFrom([]int{0, 1, 10, 100, 3000}).Draw(rt, "size")
		spread := rapid.SampledFrom([]int64{1, 100, 1_000_000}).Draw(rt, "spread in ms")
		share := rapid.SampledFrom([]float64{0, 0.01, 0.5, 1}).Draw(rt, "share that not all have")
		budget := rapid.SampledFrom([]int{size/20 + 1, size/3 + 1, 1 << 30}).Draw(rt, "entries a session")
		for i := range sets {
			sets[i] = newMemory()
		}
		keys := make([][]entry.Key, len(sets))
		for i := range size {
			k := entry.Key{Time: epoch + draw.Int64N(spread), ID: idOf("any", i)}
			only := draw.Float64() < share
			for j := range sets {
				if !only || draw.IntN(2) == 0 {
					keys[j] = append(keys[j], k)
				}
			}
		}
		differ := 0
		for i := range sets {
			sets[i].put(keys[i]...)
			differ += size - len(keys[i])
		}
		sessions := 0
		for equal := 0; equal < len(sets); {
			a, b := sets[sessions%len(sets)], sets[(sessions+1)%len(sets)]
			got := converse(t, a, b, budget)
			if got.trips > maxTurns {
				rt.Fatalf("%d round trips", got.trips)
			}
			if limit := 400 + 45*2*fanOut*4*max(1, min(differ, size)); got.bytes > limit {
				rt.Fatalf("%d bytes for %d differences, over %d", got.bytes, differ, limit)
			}
			if equal++; !got.equal {
				equal = 0
			}
			// Each session moves what it may, or ends the difference.
			if sessions++; sessions > 4*len(sets)+differ*len(sets) {
				rt.Fatalf("not equal after %d sessions, for %d differences", sessions, differ)
			}
		}
		for _, s := range sets {
			same(t, sets[0], s)
		}
	})
}

// TestFloorsDiffer compares from the higher floor: equal sets are still cheap,
// and nothing is sent below it.
func TestFloorsDiffer(t *testing.T) {
	all := keysOf("all", 0, 10_000)
	for _, lack := range []int{0, 1} {
		for _, lowBegins := range []bool{true, false} {
			low, high := newMemory(all...), newMemory(all...)
			low.floor, high.floor = all[1000].Time, all[2000].Time
			high.drop(all[5000 : 5000+lack]...)
			a, b := low, high
			if !lowBegins {
				a, b = high, low
			}
			got := converse(t, a, b, 1<<30)
			if got.moved != lack || got.left {
				t.Errorf("%d lacking, the low one begins %t: %+v", lack, lowBegins, got)
			}
			if lack == 0 && (got.bytes > 120 || got.trips > 2) {
				t.Errorf("equal above the floor, the low one begins %t: %+v", lowBegins, got)
			}
			if len(low.all()) != 9000 || len(high.all()) != 8000 {
				t.Errorf("%d and %d entries above the floors, not 9000 and 8000", len(low.all()), len(high.all()))
			}
		}
	}
}

// TestFarFuture leaves alone what one of the two does not admit yet.
func TestFarFuture(t *testing.T) {
	day := entry.MaxFuture.Milliseconds()
	soon, late := entry.Key{Time: clockOf + day - 1, ID: idOf("soon", 0)}, entry.Key{Time: clockOf + day + 1, ID: idOf("late", 0)}
	a, b := newMemory(soon, late), newMemory()
	hour := int64(3_600_000)
	got := converseAt(t, a, b, clockOf+hour, clockOf, 1<<30)
	if got.moved != 1 || !b.Has(soon) || b.Has(late) {
		t.Errorf("moved %+v, soon %t, late %t", got, b.Has(soon), b.Has(late))
	}
	for range 2 {
		if got := converseAt(t, b, a, clockOf, clockOf+hour, 1<<30); !got.equal {
			t.Errorf("not equal as far as both admit: %+v", got)
		}
		if got := converseAt(t, a, b, clockOf+hour, clockOf, 1<<30); got.moved != 0 || got.bytes > 200 {
			t.Errorf("the entry of the far future makes work: %+v", got)
		}
	}
	if got := converseAt(t, a, b, clockOf+hour, clockOf+2, 1<<30); !b.Has(late) {
		t.Errorf("its time has come, and it did not: %+v", got)
	}
}

// TestSetsThatChange runs sessions while entries come and go.
func TestSetsThatChange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		a := &restless{memory: newMemory(keysOf("all", 0, 1000)...), draw: draw}
		b := &restless{memory: newMemory(keysOf("all", 300, 1400)...), draw: draw}
		ours, theirs := newTalk(a, salt{1}), newTalk(b, salt{2})
		h, _ := ours.begin(hello{clock: clockOf, takes: true}, horizon(clockOf))
		w, _ := theirs.welcome(h, welcome{clock: clockOf, takes: true})
		ours.welcomed(h, w)
		from, to := theirs, ours
		for n := 0; !w.equal; n++ {
			said := from.say()
			for _, payload := range said.ranges {
				if err := to.hear(payload); err != nil {
					rt.Fatal(err)
				}
			}
			to.heard(said.end)
			if said.over {
				return
			}
			if n > 2*maxTurns {
				rt.Fatal("a session without end")
			}
			from, to = to, from
		}
	})
}

// growing is a set to which entries come between a look that counts them and
// one that lists them.
type growing struct {
	*memory
	more []entry.Key
}

func (g *growing) Fingerprint(lo, hi entry.Key) (ledger.Digest, int, error) {
	digest, n, err := g.memory.Fingerprint(lo, hi)
	g.put(g.more...)
	return digest, n, err
}

// A turn lists no more ids than the other side takes from an honest peer, also
// when the last range of many grows while it is looked at.
func TestListsOfARangeThatGrows(t *testing.T) {
	for _, count := range []int{0, 1, 5} {
		all := keysOf("a", 0, 10)
		set := &growing{memory: newMemory(all[:count]...), more: all[count:]}
		talk := newTalk(set, salt{1})
		talk.listed, talk.scanMax = maxListed-count, scanFloor
		digest, n, err := talk.measure(entry.Key{}, entry.LastKey())
		if err != nil || n != count {
			t.Fatalf("got %d, %v", n, err)
		}
		if err := talk.compare(0, claim{hi: entry.LastKey(), count: 3}, digest, n); err != nil {
			t.Fatal(err)
		}
		if talk.listed > maxListed || len(talk.next) != 1 {
			t.Errorf("%d: %d ids are listed in %d lists, more than %d", count, talk.listed, len(talk.next), maxListed)
		}
	}
}
