package catchup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
)

func TestPeerJoined(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		ours := recent("ours", 500)
		theirs := recent("theirs", 700)
		a := l.start(0, stored(slices.Concat(ours, theirs[:300])...), quietly)
		b := l.start(1, stored(theirs...), quietly)
		a.PeerJoined(l.id(1))
		time.Sleep(time.Second)
		same(t, a.store, b.store)
		if n := len(a.store.all()); n != 1200 {
			t.Errorf("%d entries, not 1200", n)
		}
		for _, n := range []*node{a, b} {
			for _, batch := range n.store.batches {
				if !slices.IsSortedFunc(batch, entry.Key.Compare) {
					t.Error("entries are stored out of order of time")
				}
			}
		}
		for i, n := range []*node{a, b} {
			s := l.about(n, 1-i)
			if !s.Agreed || s.Missing != 0 || s.Extra != 0 || s.Err != "" || s.Skew != 0 || s.ComparedAt.IsZero() {
				t.Errorf("node %d: %+v", i, s)
			}
		}
		if got := a.counted("p2ping_catchup_entries_total", "received"); got != 400 {
			t.Errorf("%d entries counted as received, not 400", got)
		}
	})
}

func TestTimer(t *testing.T) {
	onLAN(t, 4, func(l *lan) {
		t := l.t
		var nodes []*node
		for i := range 4 {
			nodes = append(nodes, l.start(i, stored()))
		}
		time.Sleep(20 * time.Second) // one quiet stretch
		for i, n := range nodes {
			if got := len(n.State()); got != 3 {
				t.Errorf("node %d has compared with %d peers, not 3", i, got)
			}
		}
		time.Sleep(10 * time.Minute) // until the intervals are long
		before := nodes[0].counted("p2ping_catchup_sessions_total", "equal")
		time.Sleep(10 * time.Minute)
		if n := nodes[0].counted("p2ping_catchup_sessions_total", "equal") - before; n < 10 || n > 50 {
			t.Errorf("%d sessions in ten quiet minutes", n)
		}
		// One hears something that the others don't: they all have it soon.
		e := entryAt(now(), "lost by gossip")
		nodes[2].store.Append(t.Context(), 0, e)
		time.Sleep(maxInterval + 2*time.Second)
		for i, n := range nodes {
			if !n.store.Has(e.Key()) {
				t.Errorf("node %d lacks it after 12 s", i)
			}
		}
	})
}

func TestDrop(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a, b := l.start(0, stored()), l.start(1, stored(), quietly)
		time.Sleep(10 * time.Minute)
		e := entryAt(now(), "dropped")
		b.store.Append(t.Context(), 0, e)
		before := a.counted("p2ping_catchup_sessions_total", "initiator")
		for range 1000 {
			a.Trigger(Drop)
		}
		time.Sleep(minSpacing + time.Second)
		if !a.store.Has(e.Key()) {
			t.Error("a drop did not start a catch-up")
		}
		// One session, one to see that all is equal, and one of the next second.
		if n := a.counted("p2ping_catchup_sessions_total", "initiator") - before; n > 3 {
			t.Errorf("%d sessions of one burst of drops", n)
		}
	})
}

// TestLeftovers moves more than one session may.
func TestLeftovers(t *testing.T) {
	onLAN(t, 3, func(l *lan) {
		t := l.t
		var big []*entry.Entry
		for i := range 400 {
			pings := slices.Repeat([]entry.Ping{{Text: strings.Repeat("x", 4000), SentAt: (now() - int64(500-i)) * 1000}}, 16)
			e, err := entry.Sign(author(i%3), topic, [8]byte{byte(i), byte(i >> 8)}, pings)
			if err != nil {
				t.Fatal(err)
			}
			big = append(big, e)
		}
		if bytes := len(big) * len(big[0].Raw); bytes < maxTurnBytes*5/4 {
			t.Fatalf("only %d bytes of entries", bytes)
		}
		a := l.start(0, stored(), quietly)
		b := l.start(1, stored(big...), quietly)
		a.PeerJoined(l.id(1))
		time.Sleep(30 * time.Second)
		same(t, a.store, b.store)
		if s := l.about(a, 1); !s.Agreed {
			t.Errorf("%+v", s)
		}
		if n := a.counted("p2ping_catchup_sessions_total", "partial"); n != 1 {
			t.Errorf("%d sessions left something, not 1", n)
		}
		last := entry.Key{}
		for _, batch := range a.store.batches {
			for _, k := range batch {
				if k.Compare(last) < 0 {
					t.Fatal("entries came out of order of time")
				}
				last = k
			}
		}
	})
}

func TestSkew(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		ahead := func(cfg *Config) {
			cfg.Now = func() time.Time { return time.Now().Add(time.Hour) }
		}
		// What the one whose clock is ahead takes already, the other doesn't yet.
		soon := entryAt(now()+(entry.MaxFuture+30*time.Minute).Milliseconds(), "of tomorrow")
		e := entryAt(now(), "of today")
		a := l.start(0, stored())
		b := l.start(1, stored(soon, e), ahead)
		a.admit = func(e *entry.Entry) error { return e.Admit(topic, time.Now(), 0) }
		a.PeerJoined(l.id(1))
		time.Sleep(time.Minute)
		if !a.store.Has(e.Key()) || a.store.Has(soon.Key()) {
			t.Error("took the wrong one")
		}
		if s := l.about(a, 1); (s.Skew-time.Hour).Abs() > time.Second || !s.Agreed {
			t.Errorf("the one: %+v", s)
		}
		if s := l.about(b, 0); (s.Skew+time.Hour).Abs() > time.Second || s.Agreed {
			t.Errorf("the one ahead: %+v", s)
		}
		if n := a.counted("p2ping_catchup_sessions_total", "initiator"); n > 40 {
			t.Errorf("%d sessions in a minute", n)
		}
		if n := a.counted("p2ping_catchup_entries_total", "received"); n != 1 {
			t.Errorf("%d entries received", n)
		}
		time.Sleep(time.Hour)
		if !a.store.Has(soon.Key()) {
			t.Error("its time has come, and it did not")
		}
	})
}

func TestFullDisk(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a := l.start(0, stored(), quietly)
		b := l.start(1, stored(recent("theirs", 3000)...))
		a.store.mu.Lock()
		a.store.full = true
		a.store.mu.Unlock()
		time.Sleep(time.Minute)
		if n := len(a.store.all()); n != 0 {
			t.Fatalf("%d entries on a full disk", n)
		}
		if n := b.counted("p2ping_catchup_entries_total", "sent"); n != 0 {
			t.Errorf("%d entries sent to who has no room", n)
		}
		if s := l.about(b, 0); s.Agreed || s.Extra != 3000 {
			t.Errorf("%+v", s)
		}
		a.store.mu.Lock()
		a.store.full = false
		a.store.mu.Unlock()
		time.Sleep(maxInterval + time.Second)
		same(t, a.store, b.store)
	})
}

// TestRefused meets a peer whose entries are not admitted.
func TestRefused(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a := l.start(0, stored())
		l.start(1, stored(recent("theirs", 300)...), quietly)
		a.mu.Lock()
		a.admit = func(*entry.Entry) error { return entry.ErrTopic }
		a.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if n := len(a.store.all()); n != 0 {
			t.Errorf("%d entries", n)
		}
		if s := l.about(a, 1); s.Agreed || s.Missing != 300 || !strings.Contains(s.Err, "not admitted") {
			t.Errorf("%+v", s)
		}
		// 10, 20, 40 s and so on between them.
		if n := a.counted("p2ping_catchup_sessions_total", "initiator"); n < 4 || n > 8 {
			t.Errorf("fetched %d times in ten minutes", n)
		}
	})
}

// TestBothCall lets two nodes begin a session with each other in the same
// instant, again and again: one of the two calls is answered.
func TestBothCall(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a, b := l.start(0, stored(), quietly), l.start(1, stored(), quietly)
		for i := range 10 {
			a.store.Append(t.Context(), 0, entryAt(now(), fmt.Sprint("a", i)))
			b.store.Append(t.Context(), 0, entryAt(now(), fmt.Sprint("b", i)))
			a.PeerJoined(l.id(1))
			b.PeerJoined(l.id(0))
			time.Sleep(5 * time.Second)
			same(t, a.store, b.store)
		}
		busy := a.counted("p2ping_catchup_sessions_total", "busy") + b.counted("p2ping_catchup_sessions_total", "busy")
		failed := a.counted("p2ping_catchup_sessions_total", "failed") + b.counted("p2ping_catchup_sessions_total", "failed")
		if busy == 0 || failed > 0 {
			t.Errorf("%d calls were put off, %d failed", busy, failed)
		}
	})
}

// TestManyJoin lets a late joiner meet many peers at once that all have the
// same to bring.
func TestManyJoin(t *testing.T) {
	onLAN(t, 8, func(l *lan) {
		t := l.t
		all := recent("all", bulkEntries+1000)
		var others []*node
		for i := 1; i < 8; i++ {
			others = append(others, l.start(i, stored(all...)))
		}
		late := l.start(0, stored())
		for i, n := range others {
			n.PeerJoined(l.id(0))
			late.PeerJoined(l.id(i + 1))
		}
		time.Sleep(maxInterval)
		// One that we call and one that calls us at the same time, at most.
		if n := late.counted("p2ping_catchup_entries_total", "held"); n > len(all) {
			t.Errorf("%d of %d entries were brought more than once", n, len(all))
		}
		for i, n := range others {
			same(t, late.store, n.store)
			if s := l.about(late, i+1); s.Err != "" {
				t.Errorf("%+v", s)
			}
		}
	})
}

func TestClose(t *testing.T) {
	onLAN(t, 3, func(l *lan) {
		t := l.t
		a := l.start(0, stored(recent("all", 3000)...))
		b := l.start(1, stored())
		l.impostor(2, silent)
		a.PeerJoined(l.id(1))
		a.PeerJoined(l.id(2))
		b.PeerJoined(l.id(0))
		synctest.Wait() // in the middle of it
		started := time.Now()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(started); took > time.Second {
			t.Errorf("closing took %s", took)
		}
		a.PeerJoined(l.id(1))
		a.Trigger(Drop)
		time.Sleep(time.Minute)
	})
}

func TestDisabled(t *testing.T) {
	onLAN(t, 2, func(l *lan) {
		t := l.t
		a := l.start(0, stored(recent("all", 10)...), func(cfg *Config) { cfg.Disabled = true })
		b := l.start(1, stored())
		a.PeerJoined(l.id(1))
		a.Trigger(Drop)
		time.Sleep(time.Minute)
		if len(b.store.all()) != 0 {
			t.Error("it is not turned off")
		}
		if s := l.about(b, 0); !strings.Contains(s.Err, "does not speak catch-up") {
			t.Errorf("%+v", s)
		}
		if n := b.counted("p2ping_catchup_sessions_total", "unsupported"); n > 5 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

func TestNew(t *testing.T) {
	if _, err := New(Config{Peers: func() []peer.ID { return nil }}); err == nil {
		t.Error("a Syncer of nothing")
	}
}
