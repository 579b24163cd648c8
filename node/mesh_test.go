package node

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/marcopolo/simnet"
)

var meshSeeds = flag.Int("meshseeds", 1, "form the meshes of two regions with `N` seeds")

// Latencies of the tests, one way.
const (
	nearby  = 2 * time.Millisecond
	faraway = 100 * time.Millisecond
)

// newRegions is a network of two regions: hosts whose numbers are even, and
// those whose are odd.
func newRegions(t *testing.T) *simulated {
	t.Helper()
	s := newSimulated(t)
	last := func(a interface{ String() string }) byte {
		b := netip.MustParseAddrPort(a.String()).Addr().Unmap().As4()
		return b[3]
	}
	s.wire.LatencyFunc = func(p *simnet.Packet) time.Duration {
		if last(p.From)%2 == last(p.To)%2 {
			return nearby
		}
		return faraway
	}
	return s
}

// meshed is a member whose mesh knows distance: of a node, what makes the mesh.
type meshed struct {
	host     host.Host
	gossip   *gossip
	tracer   *tracer
	distance *distance
	received atomic.Int64
}

// newMeshed makes a member and has it run until stop is called, which waits.
func newMeshed(t *testing.T, h host.Host) (m *meshed, stop func()) {
	t.Helper()
	m = &meshed{host: h}
	m.tracer = &tracer{
		topic:        DefaultTopic,
		metrics:      newMetrics(),
		lost:         func(where string, _ peer.ID) { t.Errorf("lost: %s", where) },
		streamClosed: func(peer.ID) {},
		mesh:         make(map[peer.ID]struct{}),
	}
	pinger := newPinger(pingerConfig{Host: h, Keep: func(peer.ID) bool { return false }, Logger: testLogger(t)})
	m.distance = newDistance(distanceConfig{
		Host:    h,
		Members: func() []peer.ID { return m.gossip.members.list() },
		RTT:     pinger.rtt,
		InMesh:  m.tracer.inMesh,
	})
	var err error
	m.gossip, err = newGossip(gossipConfig{
		host:     h,
		topic:    DefaultTopic,
		logger:   testLogger(t),
		tracer:   m.tracer,
		validate: m.validate,
		score:    m.distance.score,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.gossip.join(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { m.gossip.watch(ctx, func(peer.ID) {}, func(peer.ID) {}) })
	work.Go(func() { pinger.run(ctx) })
	work.Go(func() { m.distance.run(ctx) })
	return m, func() {
		cancel()
		work.Wait()
		m.gossip.cancel()
	}
}

// validate counts what is valid, which is all that doesn't say that it is not.
func (m *meshed) validate(_ context.Context, _ peer.ID, msg *pubsub.Message) pubsub.ValidationResult {
	if string(msg.GetData()) == "invalid" {
		return pubsub.ValidationReject
	}
	m.received.Add(1)
	return pubsub.ValidationAccept
}

// inBubble runs f in a synctest bubble, on one thread, which the race detector
// needs there.
func inBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}

// TestNoIslands has two regions of nodes that are all connected to most of
// their own region and to some of the other: the mesh takes its near peers from
// the region, and holds the two together nevertheless.
func TestNoIslands(t *testing.T) {
	const region, links = 10, 4
	for seed := range uint64(*meshSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) { //nolint:thelper // it is the test
				rng := rand.New(rand.NewPCG(seed, 0))
				net := newRegions(t)
				all := make([]*meshed, 2*region)
				for i := range all {
					var stop func()
					all[i], stop = newMeshed(t, net.host(i+1, nil))
					defer stop()
				}
				for i, a := range all {
					for k, j := range rng.Perm(len(all)) {
						same := i%2 == j%2
						if i < j && same || !same && k < links {
							connectHosts(t, a.host, all[j].host)
						}
					}
				}
				time.Sleep(3 * time.Minute)
				checkMesh(t, all)
				for _, m := range all {
					if _, _, err := m.gossip.publish(t.Context(), []byte("hello")); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Second)
				for i, m := range all {
					if n := m.received.Load(); n != int64(len(all)) {
						t.Errorf("gossip brought node %d %d of %d messages", i, n, len(all))
					}
				}
			})
		})
	}
}

// checkMesh checks that the mesh is one, and near wherever it can be. Only links
// that one of the two wants count: another may be cut at any time.
func checkMesh(t *testing.T, all []*meshed) {
	t.Helper()
	linked := func(a, b *meshed) bool {
		return a.tracer.inMesh(b.host.ID()) &&
			(a.distance.score(b.host.ID()) > scorePlain || b.distance.score(a.host.ID()) > scorePlain)
	}
	reached := map[int]bool{0: true}
	for open := []int{0}; len(open) > 0; open = open[1:] {
		for j := range all {
			if !reached[j] && linked(all[open[0]], all[j]) {
				reached[j] = true
				open = append(open, j)
			}
		}
	}
	if len(reached) != len(all) {
		t.Errorf("the mesh reaches %d of %d nodes", len(reached), len(all))
	}
	near, across := 0, 0
	for i, a := range all {
		for j, b := range all {
			switch {
			case !linked(a, b):
			case i%2 == j%2:
				near++
			default:
				across++
			}
		}
	}
	t.Logf("%d links in the regions, %d across", near/2, across/2)
	if near < across {
		t.Error("the mesh doesn't prefer near peers")
	}
}

// TestEclipse surrounds a node with more near peers than it has others, all of
// which want to be in its mesh at any time.
func TestEclipse(t *testing.T) {
	const honest, attackers = 10, 30
	inBubble(t, func(t *testing.T) { //nolint:thelper // it is the test
		net := newRegions(t)
		victim, stop := newMeshed(t, net.host(1, nil))
		defer stop()
		var friends []host.Host
		for i := range honest {
			m, stop := newMeshed(t, net.host(2+2*i, nil))
			defer stop()
			friends = append(friends, m.host)
			connectHosts(t, victim.host, m.host)
		}
		for i := range attackers {
			h := net.host(3+2*i, nil)
			joinGreedily(t, h)
			connectHosts(t, h, victim.host)
		}
		time.Sleep(2 * time.Minute) // to be measured, and two rounds of grafting
		for range 300 {
			time.Sleep(time.Second)
			held := 0
			for _, f := range friends {
				if victim.tracer.inMesh(f.ID()) {
					held++
				}
			}
			if size := victim.tracer.meshSize(); held < meshDrawn || size-held > meshHigh {
				t.Fatalf("of %d in the mesh, %d are honest", size, held)
			}
		}
		w := victim.distance.wanted.Load()
		if w.near+w.drawn > meshDegree || w.near == 0 {
			t.Errorf("of those wanted, %d near and %d drawn are in the mesh", w.near, w.drawn)
		}
	})
}

// joinGreedily has a host take whoever there is into its mesh.
func joinGreedily(t *testing.T, h host.Host) {
	t.Helper()
	params := pubsub.DefaultGossipSubParams()
	params.D, params.Dlo, params.Dhi = 1000, 900, 2000
	ps, err := pubsub.NewGossipSub(t.Context(), h, pubsub.WithGossipSubParams(params))
	if err != nil {
		t.Fatal(err)
	}
	topic, err := ps.Join(DefaultTopic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Relay(); err != nil {
		t.Fatal(err)
	}
}

// TestInvalidMessagesCost has a peer send what is invalid: the mesh does without
// it for a while.
func TestInvalidMessagesCost(t *testing.T) {
	inBubble(t, func(t *testing.T) { //nolint:thelper // it is the test
		net := newSimulated(t)
		a, stop := newMeshed(t, net.host(1, nil))
		defer stop()
		b := joinTopic(t, net.host(2, nil), DefaultTopic)
		connectHosts(t, a.host, b.host)
		time.Sleep(5 * time.Second)
		if !a.tracer.inMesh(b.host.ID()) {
			t.Fatal("not in the mesh to begin with")
		}
		if err := b.topic.Publish(t.Context(), []byte("invalid")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if a.tracer.inMesh(b.host.ID()) {
			t.Error("in the mesh all the same")
		}
		if err := b.topic.Publish(t.Context(), []byte("valid")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := a.received.Load(); n != 1 {
			t.Errorf("%d valid messages: it is not listened to any more", n)
		}
		time.Sleep(5 * time.Minute)
		if !a.tracer.inMesh(b.host.ID()) {
			t.Error("not forgiven in minutes")
		}
	})
}
