package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// newHost starts a host with the i-th key on the loopback interface.
func newHost(t *testing.T, i int) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.Identity(keyOf(t, i)), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(),
		libp2p.PrometheusRegisterer(prometheus.NewRegistry()), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func connect(t *testing.T, a, b host.Host) {
	t.Helper()
	if err := a.Connect(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// testFinder makes a Finder on h that takes all that are connected for members,
// unless cfg says otherwise.
func testFinder(t *testing.T, h host.Host, cfg Config) *Finder {
	t.Helper()
	cfg.Host = h
	if cfg.Topic == "" {
		cfg.Topic = "a topic"
	}
	if cfg.Peers == nil {
		cfg.Peers = h.Network().Peers
	}
	if cfg.Dial == nil {
		cfg.Dial = h.Connect
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// await waits until something holds that will.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("not in time: " + what)
		}
	}
}

func TestMembersMeet(t *testing.T) {
	hub := newHost(t, 1)
	testFinder(t, hub, Config{})
	var finders []*Finder
	for i := range 2 {
		h := newHost(t, 2+i)
		f := testFinder(t, h, Config{})
		go f.Run(t.Context())
		connect(t, h, hub)
		f.PeerJoined(hub.ID())
		finders = append(finders, f)
	}
	a, b := finders[0], finders[1]
	await(t, "the leaves are connected", func() bool { return a.connected(b.cfg.Host.ID()) })
	await(t, "one of them found the other", func() bool {
		_, ab := a.Found(b.cfg.Host.ID())
		_, ba := b.Found(a.cfg.Host.ID())
		return ab || ba
	})
	for _, f := range finders {
		if _, ok := f.Found(hub.ID()); ok {
			t.Error("the hub was found, though it was told")
		}
	}
}

// TestAddressesComeLate has a member say where it listens when it is on the topic
// already, as a member does whose connection is identified late, or that moves.
func TestAddressesComeLate(t *testing.T) {
	h := newHost(t, 1)
	late, err := libp2p.New(libp2p.Identity(keyOf(t, 2)), libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	f := testFinder(t, h, Config{})
	go f.Run(t.Context())
	connect(t, late, h)
	f.PeerJoined(late.ID())
	await(t, "it is seen to join", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.moves) == 0
	})
	if err := late.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Fatal(err)
	}
	want := late.Network().ListenAddresses()[0]
	await(t, "its address is remembered", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		c := f.book.contacts[late.ID()]
		return c != nil && slices.ContainsFunc(c.addrs, want.Equal)
	})
}

// TestNobodyWaitsForTheFinder has many peers connect while Run is held up, as by a
// slow disk.
func TestNobodyWaitsForTheFinder(t *testing.T) {
	h := newHost(t, 1)
	f := testFinder(t, h, Config{})
	go f.Run(t.Context())
	f.PeerJoined(h.ID())
	await(t, "it runs", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.moves) == 0
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range 24 {
		other := newHost(t, 2+i)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := h.Connect(ctx, peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()})
		cancel()
		if err != nil {
			t.Fatalf("peer %d: %v", i, err)
		}
	}
}

// TestWhoStaysIsRemembered has a member stay for longer than those are remembered
// that went away, while nothing else happens.
func TestWhoStaysIsRemembered(t *testing.T) {
	h, member := newHost(t, 1), newHost(t, 2)
	f := testFinder(t, h, Config{})
	r := &runner{Finder: f, asking: newRhythm(h.ID()), young: make(map[peer.ID]time.Time)}
	connect(t, h, member)
	f.PeerJoined(member.ID())
	now := time.Now()
	for end := now.Add(2 * rememberFor); now.Before(end); now = now.Add(rememberFor / 10) {
		r.attend(now)
	}
	if c := f.book.contacts[member.ID()]; c == nil || c.absent(now) > rememberFor {
		t.Errorf("of a member that is there the book has %+v", c)
	}
}

func TestWhoIsToldOf(t *testing.T) {
	hub, asker, member, silent, guest := newHost(t, 1), newHost(t, 2), newHost(t, 3), newHost(t, 4), newHost(t, 5)
	f := testFinder(t, hub, Config{Peers: func() []peer.ID { return []peer.ID{asker.ID(), member.ID(), silent.ID()} }})
	ask := testFinder(t, asker, Config{})
	testFinder(t, member, Config{})
	testFinder(t, guest, Config{}) // speaks, but is on another topic
	for _, h := range []host.Host{asker, member, silent, guest} {
		connect(t, h, hub)
	}
	// What a peer speaks is known a moment before its addresses are.
	known := func(h host.Host) bool { return f.speaks(h.ID()) && len(hub.Peerstore().Addrs(h.ID())) > 0 }
	await(t, "all are identified", func() bool { return known(asker) && known(member) && known(guest) })
	a, err := ask.question(t.Context(), hub.ID())
	if err != nil || len(a.records) != 1 || a.records[0].id != member.ID() || a.twin {
		t.Errorf("told of %v, %v, want of %s", a, err, member.ID())
	}

	stranger := newHost(t, 6)
	other := testFinder(t, stranger, Config{Topic: "another topic"})
	connect(t, stranger, hub)
	if a, err := other.question(t.Context(), hub.ID()); err == nil {
		t.Errorf("who is on another topic is told of %v", a)
	}
}

func TestAskersAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	a := newAskers()
	for range askBurst {
		if !a.admit("a", now) {
			t.Fatal("refused below the bound")
		}
	}
	if a.admit("a", now) {
		t.Error("one peer may ask for ever")
	}
	if !a.admit("a", now.Add(time.Second/askRate)) {
		t.Error("a peer may not ask again later")
	}
	for i := range 2 * maxAskers {
		a.admit(peer.ID(fmt.Sprint(i)), now)
	}
	if len(a.each) > maxAskers {
		t.Errorf("%d askers are remembered", len(a.each))
	}
}

// TestSlowStrangersLeaveRoom has strangers take their time over the question.
func TestSlowStrangersLeaveRoom(t *testing.T) {
	var member atomic.Bool
	hub, other := newHost(t, 1), newHost(t, 2)
	f := testFinder(t, hub, Config{Member: func(peer.ID) bool { return member.Load() }})
	asker := testFinder(t, other, Config{})
	connect(t, other, hub)
	slow := 0
	for i := range maxAnswers {
		if f.places.Take(idOf(t, 10+i), false) {
			slow++
		}
	}
	if slow != maxAnswers/2 {
		t.Errorf("%d strangers are answered at once, want %d", slow, maxAnswers/2)
	}
	if _, err := asker.question(t.Context(), hub.ID()); err == nil {
		t.Error("one stranger more is answered")
	}
	member.Store(true)
	if _, err := asker.question(t.Context(), hub.ID()); err != nil {
		t.Errorf("strangers take a member's place: %v", err)
	}
	// Who has an answer can have it before its place is given back.
	await(t, "the member's place is free again", func() bool { return f.places.Taken() == slow })
	for f.places.Take("a member", true) {
	}
	if _, err := asker.question(t.Context(), hub.ID()); err == nil {
		t.Errorf("with %d answers under way one more is given", f.places.Taken())
	}
}

// TestTwins has two nodes of one identity ask a third one.
func TestTwins(t *testing.T) {
	hub := newHost(t, 1)
	testFinder(t, hub, Config{})
	ask := func(f *Finder) bool {
		a, err := f.question(t.Context(), hub.ID())
		if err != nil {
			t.Fatal(err)
		}
		return a.twin
	}
	one, two := newHost(t, 2), newHost(t, 2)
	first, second := testFinder(t, one, Config{}), testFinder(t, two, Config{})
	connect(t, one, hub)
	if ask(first) {
		t.Error("a twin of an only child")
	}
	connect(t, two, hub)
	if !ask(second) {
		t.Error("the second does not hear of the first")
	}
	if !ask(first) {
		t.Error("the first does not hear of the second")
	}
	one.Close()
	await(t, "the first is gone", func() bool { return len(hub.Network().ConnsToPeer(one.ID())) == 1 })
	if ask(second) {
		t.Error("the second hears of the first, which is gone")
	}
}

func TestTwinIsBelievedLate(t *testing.T) {
	r := &runner{Finder: testFinder(t, newHost(t, 1), Config{}), asking: newRhythm("")}
	now := time.Unix(1e9, 0)
	for _, tt := range []struct {
		after time.Duration
		seen  bool
		want  bool
	}{
		{0, true, false},
		{30 * time.Second, true, false}, // a lost connection looks alive for as long
		{31 * time.Second, false, false},
		{40 * time.Second, true, false},
		{40*time.Second + twinAfter, true, true},
		{60*time.Second + twinAfter, false, false},
	} {
		if r.twins(tt.seen, now.Add(tt.after)); r.stateOf().Twin != tt.want {
			t.Errorf("after %v: %t", tt.after, !tt.want)
		}
	}
}

// TestLiarCostsBoundedDials has a peer tell of ever new peers that don't exist,
// for two minutes in which no other peer is known.
func TestLiarCostsBoundedDials(t *testing.T) {
	h, liar := newHost(t, 1), newHost(t, 2)
	connect(t, h, liar)
	dials, wide := 0, 0
	f := testFinder(t, h, Config{Dial: func(_ context.Context, info peer.AddrInfo) error {
		dials++ // one at a time: see below
		wide = max(wide, len(info.Addrs))
		return errors.New("nobody is there")
	}})
	r := &runner{Finder: f, asking: newRhythm(h.ID()), young: make(map[peer.ID]time.Time)}
	const seconds = 120
	next := 10
	for s := range seconds {
		now := time.Unix(int64(1e9+s), 0)
		a := largest(t)
		for i := range a.records {
			a.records[i] = record{idOf(t, next), addrs("/ip4/1.2.3.4/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1")}
			next++
		}
		r.asking.active++
		r.answered(t.Context(), liar.ID(), a, nil, now)
		for r.dialOne(t.Context(), now, anyone) {
			(<-r.results)(now)
		}
		if told, _ := r.book.count(); told > maxTold {
			t.Fatalf("%d peers are known", told)
		}
	}
	if most := 16 + seconds/4; dials > most || dials < 16 || wide > maxAddrs {
		t.Errorf("%d dials at up to %d addresses in %d s, want at most %d", dials, wide, seconds, most)
	}
	t.Logf("%d dials for %d lies", dials, next-10)
}

// TestBadAnswers has peers answer with what no honest one sends.
func TestBadAnswers(t *testing.T) {
	h := newHost(t, 1)
	f := testFinder(t, h, Config{})
	for name, bad := range map[string]func(network.Stream){
		"garbage":  func(s network.Stream) { s.Write([]byte("garbage")); s.Close() },
		"too long": func(s network.Stream) { s.Write(make([]byte, 1<<20)); s.Close() },
		"a reset":  func(s network.Stream) { s.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			other := newHost(t, 2)
			other.SetStreamHandler(Protocol, bad)
			connect(t, h, other)
			if a, err := f.question(t.Context(), other.ID()); err == nil {
				t.Errorf("took %v", a)
			}
			h.Network().ClosePeer(other.ID())
		})
	}
	t.Run("silence", func(t *testing.T) {
		other := newHost(t, 2)
		hold := make(chan struct{})
		defer close(hold)
		other.SetStreamHandler(Protocol, func(s network.Stream) { <-hold; s.Reset() })
		connect(t, h, other)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := f.question(ctx, other.ID()); err == nil {
			t.Error("an answer of nothing")
		}
	})
}

func TestHandlerRecovers(t *testing.T) {
	h, asker := newHost(t, 1), newHost(t, 2)
	testFinder(t, h, Config{Peers: func() []peer.ID { panic("a test") }})
	f := testFinder(t, asker, Config{})
	connect(t, asker, h)
	if a, err := f.question(t.Context(), h.ID()); err == nil {
		t.Errorf("answered %v", a)
	}
}

func TestRhythm(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := newRhythm("me")
	may := []peer.ID{"a", "b"}
	asked := 0
	for s := range 3600 {
		now := now.Add(time.Duration(s) * time.Second)
		if _, ok := r.whom(now, may); ok {
			asked++
			r.answered(0, now)
		}
	}
	if asked < 12 || asked > 40 {
		t.Errorf("asked %d times in an hour that brought nothing", asked)
	}
	now = now.Add(time.Hour)
	r.joined("c", now)
	if _, ok := r.whom(now, nil); ok {
		t.Error("asked a peer in the moment it joined")
	}
	if id, ok := r.whom(now.Add(askFirst), []peer.ID{"a", "c"}); !ok || id != "c" {
		t.Errorf("asked %q, want who joined", id)
	}
	for i := range 3 * maxJoined {
		r.joined(peer.ID(fmt.Sprint(i)), now)
	}
	if len(r.recent) > maxJoined {
		t.Errorf("%d wait to be asked", len(r.recent))
	}
}

func TestAnnouncedAddresses(t *testing.T) {
	links := ownLinks()
	var got []record
	a := newAnnouncer(newHost(t, 1), "a topic", func(r record) { got = append(got, r) }, nil)
	a.HandlePeerFound(peer.AddrInfo{ID: idOf(t, 2), Addrs: addrs("/ip4/127.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/53", "/dns4/example.org/tcp/1")})
	if len(got) != 0 {
		t.Errorf("took %v, which are on none of %v", got, links)
	}
	if len(mdnsName("a topic")) > len("_123456789012345._udp") || mdnsName("a topic") == mdnsName("another topic") {
		t.Errorf("the service is %s", mdnsName("a topic"))
	}
	for _, addr := range mustAddrs(t, lanHost{newHost(t, 3)}) {
		t.Errorf("a node on loopback alone announces %s", addr)
	}
}

func mustAddrs(t *testing.T, h host.Host) []string {
	t.Helper()
	all, err := h.Network().InterfaceListenAddresses()
	if err != nil {
		t.Fatal(err)
	}
	return texts(all)
}
