package discovery

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

func anyone(*contact) bool { return true }

func (b *book) count() (told, met int) {
	for _, c := range b.contacts {
		if c.seen.IsZero() {
			told++
		} else {
			met++
		}
	}
	return told, met
}

func at(i int) []ma.Multiaddr { return addrs(fmt.Sprintf("/ip4/1.2.3.4/tcp/%d", i+1)) }

func TestBookIsBounded(t *testing.T) {
	b := testBook(t)
	now := time.Unix(1e9, 0)
	for i := range 3 * maxTold {
		b.tell(record{idOf(t, i), at(i)}, Exchange, now)
	}
	if told, _ := b.count(); told != maxTold {
		t.Errorf("%d peers told of at once are known", told)
	}
	now = now.Add(2 * time.Minute)
	if !b.tell(record{idOf(t, 1000), at(1)}, Exchange, now) {
		t.Error("no room for a fresh one beside old ones")
	}
	for i := range 2 * maxRemembered {
		b.meet(idOf(t, 2000+i), at(i), now.Add(time.Duration(i)*time.Second))
	}
	if told, met := b.count(); told != maxTold || met != maxRemembered {
		t.Errorf("%d told of and %d met", told, met)
	}
	if b.contacts[idOf(t, 2000)] != nil || b.contacts[idOf(t, 2000+2*maxRemembered-1)] == nil {
		t.Error("not the one that was not seen for longest is forgotten")
	}
	b.age(now.Add(toldFor + time.Second))
	if told, met := b.count(); told != 0 || met != maxRemembered {
		t.Errorf("%d told of and %d met ten minutes later", told, met)
	}
	b.age(now.Add(rememberFor + time.Hour))
	if _, met := b.count(); met != 0 {
		t.Errorf("%d met a month later", met)
	}
}

// TestNobodyCrowdsMembersOut has somebody on the local network announce a crowd,
// again and again.
func TestNobodyCrowdsMembersOut(t *testing.T) {
	b := testBook(t)
	now := time.Unix(1e9, 0)
	for i := range 3 * maxTold {
		b.tell(record{idOf(t, i), at(i)}, MDNS, now)
	}
	for i := range maxTold {
		if !b.tell(record{idOf(t, 1000+i), at(i)}, Exchange, now) {
			t.Fatalf("no room for the %d. peer that a member tells of", i+1)
		}
	}
	if told, _ := b.count(); told != 2*maxTold {
		t.Errorf("%d peers are known", told)
	}
}

func TestBookRefuses(t *testing.T) {
	b := testBook(t)
	now := time.Unix(1e9, 0)
	b.tell(record{idOf(t, 0), at(0)}, Exchange, now) // this node itself
	b.tell(record{idOf(t, 1), nil}, Exchange, now)
	b.tell(record{"x", at(1)}, Exchange, now)
	if len(b.contacts) != 0 {
		t.Errorf("%d contacts", len(b.contacts))
	}
}

// TestFailuresAreRemembered has a liar tell of peers that are not there again
// and again.
func TestFailuresAreRemembered(t *testing.T) {
	b := testBook(t)
	start := time.Unix(1e9, 0)
	dials := 0
	for s := range int(toldFor / time.Second) {
		now := start.Add(time.Duration(s) * time.Second)
		b.age(now)
		b.tell(record{idOf(t, 1), at(s)}, Exchange, now)
		if c := b.pick(now, anyone); c != nil {
			dials++
			b.fail(c.id, now)
		}
	}
	if dials != maxTries {
		t.Errorf("dialled %d times in %v", dials, toldFor)
	}
}

func TestPickPrefers(t *testing.T) {
	b := testBook(t)
	now := time.Unix(1e9, 0)
	b.meet(idOf(t, 1), at(1), now)
	b.fail(idOf(t, 1), now)
	b.meet(idOf(t, 2), at(2), now)
	b.tell(record{idOf(t, 3), at(3)}, Exchange, now)
	now = now.Add(time.Minute)
	for _, want := range []int{3, 2, 1} {
		c := b.pick(now, anyone)
		if c == nil || c.id != idOf(t, want) {
			t.Fatalf("picked %v, want peer %d", c, want)
		}
		c.busy = true
	}
	if c := b.pick(now, anyone); c != nil {
		t.Errorf("picked %v of nobody", c)
	}
}

func TestPickIsRandom(t *testing.T) {
	b := testBook(t)
	now := time.Unix(1e9, 0)
	for i := range 10 {
		b.tell(record{idOf(t, i+1), at(i)}, Exchange, now)
	}
	picked := make(map[string]int)
	for range 1000 {
		picked[string(b.pick(now, anyone).id)]++
	}
	for id, n := range picked {
		if n < 50 || n > 200 || len(picked) != 10 {
			t.Errorf("%x was picked %d times of 1,000, and %d others", id[30:], n, len(picked)-1)
		}
	}
}

func TestLostAreLookedFor(t *testing.T) {
	b := testBook(t)
	now := time.Unix(1e9, 0)
	id := idOf(t, 1)
	b.meet(id, at(1), now)
	if b.contacts[id].wanted(now) {
		t.Error("a connected peer is lost")
	}
	b.leave(id, now)
	if !b.contacts[id].wanted(now) || b.pick(now, anyone) != nil {
		t.Error("a peer that went away is not lost, or dialled at once")
	}
	if b.pick(now.Add(firstRetry), anyone) == nil {
		t.Error("a peer that went away is not dialled soon")
	}
	b.tell(record{id, at(1)}, MDNS, now)
	if !b.contacts[id].wanted(now) {
		t.Error("an announcement says that somebody is connected")
	}
	b.tell(record{id, at(2)}, Exchange, now)
	if b.contacts[id].wanted(now) {
		t.Error("a peer that a member is connected to is still lost")
	}
	if got := texts(b.contacts[id].addrs); !slices.Equal(got, texts(append(at(1), at(2)...))) {
		t.Errorf("its addresses are %v", got)
	}
	b.leave(id, now)
	if b.contacts[id].wanted(now.Add(lostFor + time.Second)) {
		t.Error("a peer is looked for for ever")
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		n         int
		absent    time.Duration
		low, high time.Duration
	}{
		{0, 0, time.Second, 2 * time.Second},
		{1, 0, 2 * time.Second, 4 * time.Second},
		{2, time.Minute, 4 * time.Second, 8 * time.Second},
		{1000, time.Minute, 4 * time.Second, 8 * time.Second},
		{1000, time.Hour, 30 * time.Second, time.Minute},
		{1000, 30 * 24 * time.Hour, 10 * time.Minute, 20 * time.Minute},
	} {
		if low, high := retryAfter(tt.n, tt.absent, 0), retryAfter(tt.n, tt.absent, 1); low != tt.low || high != tt.high {
			t.Errorf("after %d failures and %v: %v to %v, want %v to %v", tt.n, tt.absent, low, high, tt.low, tt.high)
		}
	}
}

func TestMergeAddrs(t *testing.T) {
	var eight, other []ma.Multiaddr
	for i := range maxAddrs {
		eight, other = append(eight, at(i)...), append(other, at(100+i)...)
	}
	got := mergeAddrs(eight, other)
	if len(got) != maxAddrs || !got[3].Equal(eight[3]) || !got[4].Equal(other[0]) {
		t.Errorf("merged to %v", got)
	}
	if got := mergeAddrs(at(1), at(1)); len(got) != 1 {
		t.Errorf("merged to %v", got)
	}
}

func TestBudget(t *testing.T) {
	for source, want := range map[Source]int{Exchange: 16 + 14, Remembered: 16 + 59} {
		b := newBudgets()[source]
		dials := 0
		for s := range 60 {
			for now := time.Unix(int64(1e9+s), 0); b.AllowN(now, 1); dials++ {
			}
		}
		if dials != want {
			t.Errorf("%s: %d dials in a minute, want %d", source, dials, want)
		}
	}
}

func TestPeersFileRoundTrip(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := testBook(t)
	for i := range 3 {
		b.meet(idOf(t, i+1), append(at(i), addrs("/ip6/::1/udp/1/quic-v1")...), now.Add(time.Duration(i)*time.Second))
	}
	b.tell(record{idOf(t, 9), at(9)}, Exchange, now) // never met: not remembered
	b.fail(idOf(t, 1), now)
	data, err := encodePeers(b)
	if err != nil {
		t.Fatal(err)
	}
	again := testBook(t)
	if err := decodePeers(data, again, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if told, met := again.count(); told != 0 || met != 3 {
		t.Errorf("%d told of and %d met, want 3 met:\n%s", told, met, data)
	}
	c := again.contacts[idOf(t, 1)]
	if c == nil || c.failures != 1 || !c.seen.Equal(now) || !sameAddrs(c.addrs, b.contacts[c.id].addrs) || !c.wanted(now.Add(time.Hour)) {
		t.Errorf("read %+v", c)
	}
	twice, err := encodePeers(again)
	if err != nil || string(twice) != string(data) {
		t.Errorf("written again, %v:\n%s", err, twice)
	}
}

func TestPeersFileForgets(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := testBook(t)
	b.meet(idOf(t, 0), at(0), now)                            // this node itself: a key was moved
	b.meet(idOf(t, 1), at(1), now.Add(-rememberFor-1))        // too old
	b.meet(idOf(t, 2), at(2), now.Add(24*time.Hour))          // a clock was wrong
	b.meet(idOf(t, 3), addrs("/dns4/example.org/tcp/1"), now) // not dialled
	data, err := encodePeers(b)
	if err != nil {
		t.Fatal(err)
	}
	again := testBook(t)
	if err := decodePeers(data, again, now); err != nil {
		t.Fatal(err)
	}
	if c := again.contacts[idOf(t, 2)]; len(again.contacts) != 1 || c == nil || c.seen.After(now) {
		t.Errorf("read %v", again.contacts)
	}
}

// TestPeersFileOutlivesAWrongClock has a node run, for a while, with a clock that
// begins anew in 1970.
func TestPeersFileOutlivesAWrongClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	data := []byte(nil)
	for i, clock := range []time.Time{now, time.Unix(60, 0), now.Add(time.Hour)} {
		b := testBook(t)
		if i == 0 {
			b.meet(idOf(t, 1), at(1), clock)
			b.meet(idOf(t, 2), at(2), clock)
		} else if err := decodePeers(data, b, clock); err != nil {
			t.Fatal(err)
		}
		b.meet(idOf(t, 2), at(2), clock)
		b.age(clock.Add(time.Minute))
		if len(b.contacts) != 2 {
			t.Errorf("at %s, %d peers are remembered, not 2:\n%s", clock, len(b.contacts), data)
		}
		var err error
		if data, err = encodePeers(b); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzDecodePeers(f *testing.F) {
	b := testBook(f)
	b.meet(idOf(f, 1), at(1), time.Unix(1e9, 0))
	data, err := encodePeers(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"peers": [{"peer_id": "x", "addresses": ["/ip4/1.2.3.4"], "seen_at": "2026-01-01T00:00:00Z", "failures": -1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := testBook(t)
		now := time.Unix(1e9, 0)
		if err := decodePeers(data, b, now); err != nil {
			return
		}
		if len(b.contacts) > maxRemembered {
			t.Fatalf("%d peers", len(b.contacts))
		}
		for id, c := range b.contacts {
			if id == b.self || len(c.addrs) == 0 || len(c.addrs) > maxAddrs || c.seen.After(now) || c.failures < 0 {
				t.Fatalf("remembered %+v", c)
			}
			_ = retryAfter(c.failures, c.absent(now), 0.5)
		}
	})
}

func TestSaver(t *testing.T) {
	var s saver
	now := time.Unix(1e9, 0)
	if s.due(now) {
		t.Error("due without a change")
	}
	s.change(now)
	if s.due(now) || !s.due(now.Add(saveSoon)) {
		t.Error("a first change is not saved soon")
	}
	s.at, s.saved = time.Time{}, now
	s.change(now)
	if s.due(now.Add(saveSoon)) || !s.due(now.Add(saveEvery)) {
		t.Error("saved too often, or never")
	}
}

func openRoot(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestDamagedFileIsPutAside(t *testing.T) {
	for name, content := range map[string]string{
		"empty":       "",
		"cut off":     `{"peers": [`,
		"no ID":       `{"peers": [{"peer_id": "x"}]}`,
		"no address":  `{"peers": [{"peer_id": "` + idOf(t, 2).String() + `", "seen_at": "` + time.Now().Format(time.RFC3339) + `", "addresses": ["x"]}]}`,
		"too long":    strings.Repeat(" ", maxPeersSize+1),
		"other types": `{"peers": 1}`,
	} {
		t.Run(name, func(t *testing.T) {
			root := openRoot(t)
			if err := root.WriteFile(peersFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			f := testFinder(t, newHost(t, 1), Config{Dir: root})
			if got := f.State().Remembered; got != 0 {
				t.Errorf("%d peers are remembered", got)
			}
			aside, err := root.ReadFile(asideFile)
			if err != nil || string(aside) != content {
				t.Errorf("put aside: %.20q, %v", aside, err)
			}
			if _, err := root.Stat(peersFile); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
		})
	}
}
