package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
)

// receives reports whether what from publishes now reaches to within a second.
func receives(t *testing.T, to, from *testMember) bool {
	t.Helper()
	if err := from.topic.Publish(t.Context(), []byte(time.Now().String())); err != nil {
		t.Fatal(err)
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		msg, err := to.sub.Next(ctx)
		cancel()
		if err != nil {
			return false
		}
		if msg.GetFrom() == from.host.ID() {
			return true
		}
	}
}

func checkHears(t *testing.T, a, b *testMember) {
	t.Helper()
	if !receives(t, a, b) || !receives(t, b, a) {
		t.Error("deaf")
	}
	if !a.has(b.host.ID()) || !b.has(a.host.ID()) {
		t.Error("not on the topic to each other")
	}
}

// pair is two connected members with a watchdog each.
func pair(t *testing.T, topicA, topicB string) (a, b *testMember, stop func()) {
	t.Helper()
	net := newSimulated(t)
	a = joinTopic(t, net.host(1, nil), topicA)
	b = joinTopic(t, net.host(2, nil), topicB)
	connectHosts(t, a.host, b.host)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	for _, m := range []*testMember{a, b} {
		m.watchdog = m.newWatchdog(t)
		go func() {
			m.watchdog.run(ctx)
			done <- struct{}{}
		}()
	}
	time.Sleep(2 * time.Second)
	return a, b, func() {
		cancel()
		<-done
		<-done
	}
}

// TestWatchdogHealsALostStream loses one pubsub stream, which leaves the other
// side deaf for ever, and waits for a watchdog to see and mend it.
func TestWatchdogHealsALostStream(t *testing.T) {
	for name, tt := range map[string]struct {
		lost    network.Direction // of the stream, as seen from a
		suspect bool
		within  time.Duration
	}{
		"outbound, told": {network.DirOutbound, true, suspectAfter + time.Second},
		"outbound":       {network.DirOutbound, false, deafAfter + 2*watchInterval + time.Second},
		"inbound":        {network.DirInbound, false, deafAfter + 2*watchInterval + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b, stop := pair(t, "topic", "topic")
				defer stop()
				checkHears(t, a, b)
				if n := a.resetPubsub(b.host.ID(), tt.lost); n != 1 {
					t.Fatalf("%d streams reset", n)
				}
				time.Sleep(suspectAfter / 2)
				if receives(t, b, a) && receives(t, a, b) {
					t.Fatal("nothing is broken: the test tests nothing")
				}
				if tt.suspect {
					a.watchdog.suspect(b.host.ID())
				}
				time.Sleep(tt.within)
				checkHears(t, a, b)
			})
		})
	}
}

// TestWatchdogHealsAnExhaustedPeer breaks streams until pubsub opens no more.
func TestWatchdogHealsAnExhaustedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, stop := pair(t, "topic", "topic")
		defer stop()
		for range 6 {
			a.resetPubsub(b.host.ID(), network.DirOutbound)
			time.Sleep(1500 * time.Millisecond)
		}
		if n := a.resetPubsub(b.host.ID(), network.DirOutbound); n != 0 {
			t.Fatalf("pubsub still opens streams: %d", n)
		}
		// Now the other side announces itself again: it is on the topic, by the
		// topic's events, yet nothing can be sent to it. ListPeers is honest.
		b.resetPubsub(a.host.ID(), network.DirOutbound)
		time.Sleep(deafAfter + 2*watchInterval)
		checkHears(t, a, b)
	})
}

// watch has a watchdog at work until it is told to stop.
func (m *testMember) watch(t *testing.T) (w *watchdog, stop func()) {
	t.Helper()
	w = m.newWatchdog(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		w.run(ctx)
		close(done)
	}()
	return w, func() {
		cancel()
		<-done
	}
}

// TestWatchdogHealsAnUnidentifiedPeer breaks the stream by which one peer asks the
// other what it speaks, which is not asked again, and what pubsub waits for.
func TestWatchdogHealsAnUnidentifiedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		a := joinTopic(t, net.host(1, nil), "topic")
		b := joinTopic(t, net.host(2, nil), "topic")
		a.host.Peerstore().AddAddrs(b.host.ID(), listening(b.host), peerstore.TempAddrTTL)
		conn, err := a.host.Network().DialPeer(t.Context(), b.host.ID())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // the question is under way
		broken := 0
		for _, s := range conn.GetStreams() {
			if s.Stat().Direction == network.DirOutbound {
				s.Reset()
				broken++
			}
		}
		if time.Sleep(time.Second); broken != 1 || a.has(b.host.ID()) {
			t.Fatalf("%d streams are broken, and a knows that b is on the topic: %v", broken, a.has(b.host.ID()))
		}
		_, stop := a.watch(t)
		time.Sleep(deafAfter + 2*watchInterval)
		checkHears(t, a, b)
		stop()
	})
}

// TestWatchdogHealsAMutualDial makes two connections at once and closes one.
func TestWatchdogHealsAMutualDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		a := joinTopic(t, net.host(1, nil), "topic")
		b := joinTopic(t, net.host(2, nil), "topic")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{}, 4)
		for _, m := range []*testMember{a, b} {
			w := m.newWatchdog(t)
			go func() {
				w.run(ctx)
				done <- struct{}{}
			}()
		}
		for _, to := range []*testMember{a, b} {
			from := map[*testMember]*testMember{a: b, b: a}[to]
			go func() {
				from.host.Connect(ctx, peer.AddrInfo{ID: to.host.ID(), Addrs: listening(to.host)})
				done <- struct{}{}
			}()
		}
		<-done
		<-done
		time.Sleep(2 * time.Second)
		conns := a.host.Network().ConnsToPeer(b.host.ID())
		if len(conns) != 2 {
			t.Fatalf("%d connections: the test tests nothing", len(conns))
		}
		conns[0].Close()
		time.Sleep(deafAfter + 2*watchInterval)
		checkHears(t, a, b)
		cancel()
		<-done
		<-done
	})
}

// TestWatchdogGivesANewConnectionTime has a peer, 300 ms away, lose its connection
// and make another one. It is told of the topic anew on that, which takes a moment.
func TestWatchdogGivesANewConnectionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulatedAt(t, 300*time.Millisecond)
		a := joinTopic(t, net.host(1, nil), "topic")
		b := joinTopic(t, net.host(2, nil), "topic")
		connectHosts(t, b.host, a.host)
		w, stop := a.watch(t)
		time.Sleep(watchInterval + watchInterval/2)
		a.host.Network().ClosePeer(b.host.ID())
		w.suspect(b.host.ID()) // by its stream
		time.Sleep(time.Second)
		connectHosts(t, b.host, a.host)
		conns := a.host.Network().ConnsToPeer(b.host.ID())
		time.Sleep(deafAfter)
		if now := a.host.Network().ConnsToPeer(b.host.ID()); !slices.Equal(conns, now) {
			t.Errorf("the connections were %v and are %v", conns, now)
		}
		checkHears(t, a, b)
		stop()
	})
}

// TestWatchdogLeavesOtherTopicsAlone meets an honest peer on another topic.
func TestWatchdogLeavesOtherTopicsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		a := joinTopic(t, net.host(1, nil), "topic")
		b := joinTopic(t, net.host(2, nil), "another")
		c := net.host(3, nil) // no GossipSub at all
		var mu sync.Mutex
		opened := make(map[peer.ID]int)
		count := func(id peer.ID) int {
			mu.Lock()
			defer mu.Unlock()
			return opened[id]
		}
		a.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, conn network.Conn) {
			mu.Lock()
			defer mu.Unlock()
			opened[conn.RemotePeer()]++
		}})
		connectHosts(t, a.host, b.host)
		connectHosts(t, a.host, c)
		_, stop := a.watch(t)
		time.Sleep(bounceRest - time.Minute)
		if got := count(b.host.ID()); got != 1+maxBounces {
			t.Errorf("%d connections to a peer on another topic, not %d", got, 1+maxBounces)
		}
		if got := count(c.ID()); got != 1 {
			t.Errorf("%d connections to a peer without GossipSub, not 1", got)
		}
		if !isConnected(a.host, b.host.ID()) || !isConnected(a.host, c.ID()) {
			t.Error("not connected any more")
		}
		time.Sleep(24 * time.Hour)
		if got, limit := count(b.host.ID()), 1+maxBounces+10; got > limit {
			t.Errorf("%d connections in a day, over %d", got, limit)
		}
		// It may change its mind.
		b.sub.Cancel()
		topic, err := b.pubsub.Join("topic")
		if err != nil {
			t.Fatal(err)
		}
		if b.sub, err = topic.Subscribe(); err != nil {
			t.Fatal(err)
		}
		b.topic = topic
		time.Sleep(2 * time.Second)
		checkHears(t, a, b)
		stop()
	})
}

// TestWatchdogDialsNobodyElse has a peer that claims to be at hundreds of
// addresses, some of them names, dial a node and stay off its topic. The node
// dials it again where it came from, and nobody else.
func TestWatchdogDialsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimulated(t)
		a := joinTopic(t, net.host(1, nil), "topic")
		b := joinTopic(t, net.host(2, nil), "another")
		connectHosts(t, b.host, a.host)
		time.Sleep(time.Second)
		claims := []ma.Multiaddr{ma.StringCast("/dns4/inside.example.org/tcp/80")}
		for i := range 300 {
			claims = append(claims, ma.StringCast(fmt.Sprintf("/ip4/1.1.%d.%d/udp/53/quic-v1", i/256, i%256)))
		}
		a.host.Peerstore().AddAddrs(b.host.ID(), claims, peerstore.ConnectedAddrTTL)
		w := a.newWatchdog(t)
		w.bounce(t.Context(), b.host.ID())
		if !isConnected(a.host, b.host.ID()) {
			t.Error("the peer is not dialled where it came from")
		}
		dialled := a.host.Peerstore().Addrs(b.host.ID())
		if slices.ContainsFunc(dialled, func(addr ma.Multiaddr) bool { return slices.ContainsFunc(claims, addr.Equal) }) {
			t.Errorf("%v are dialled", dialled)
		}
	})
}
