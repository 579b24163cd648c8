// Package nodetest runs whole p2ping networks in one process, on a fake clock.
// It is imported by tests only.
//
// A network's nodes are the real thing, from libp2p's QUIC up to the ledger on
// disk. Only two things are simulated: the wire between them (marcopolo/simnet,
// with faults of our own) and time (testing/synctest), which stands still while
// anything has work to do and jumps when everybody waits. Hours of network life
// take seconds, and no test sleeps.
//
// Everything random is drawn from the seed of [Run]: identities, schedules, what
// the wire drops. The clock is exact, but the order in which goroutines run at
// one instant is Go's, so a seed repeats a schedule and not each packet's fate;
// a failure that needs luck shows itself again within a few runs of its seed.
//
// Inside a bubble every goroutine must end: a host, node or ledger that is not
// closed fails the test by itself.
package nodetest

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Network is a set of nodes on one simulated wire. Its methods are for the
// test's own goroutine, except where they say otherwise.
type Network struct {
	// Rand is the network's source of chance, for schedules.
	Rand *rand.Rand
	// Nodes in order of their making; a stopped node keeps its place.
	Nodes []*Node

	t     testing.TB
	seed  uint64
	wire  *wire
	began time.Time
	log   *slog.Logger
	opts  Options

	mu    sync.Mutex      // guards what follows, and every node's skew
	tried map[string]int  // every text handed to Publish, and by which node
	acked map[string]bool // those whose Publish returned nil
}

// Options say what a network's nodes are. The zero value is the real thing.
type Options struct {
	// HostsOnly makes nodes of bare libp2p hosts, to test the wire itself.
	HostsOnly bool
	// NoCatchUp turns catch-up off, to see what gossip alone can do and that the
	// tests notice.
	NoCatchUp bool
	// Discovery lets nodes find others than those they are told of. Without it
	// a network keeps the shape that it is given.
	Discovery bool
	// RandomMesh has GossipSub choose its mesh, without regard to distance.
	RandomMesh bool
	// World places the nodes; nil has every hop take the same time.
	World *World
	// Roles are the nodes' by their indices; nil has all be honest.
	Roles []Role
	// Topic names the topic of the i-th node; nil is one for all.
	Topic func(i int) string
	// Progress is told now and then how far a long run is; nil is not.
	Progress func(stage string)
	// Log receives every node's log, each record with its virtual time. Nil
	// discards it.
	Log io.Writer
}

// Run calls f with an empty network inside a synctest bubble, and takes the
// network down afterwards. It logs the seed.
func Run(t *testing.T, seed uint64, opts Options, f func(*testing.T, *Network)) {
	t.Helper()
	if raceEnabled {
		// The race detector takes the scheduler's shortcuts within a bubble for
		// races unless one thread runs all of it.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		n := &Network{
			Rand:  rand.New(rand.NewPCG(seed, 0)),
			t:     t,
			seed:  seed,
			wire:  newWire(seed, opts.World),
			began: time.Now(),
			opts:  opts,
			tried: make(map[string]int),
			acked: make(map[string]bool),
		}
		n.log = n.newLogger(opts.Log)
		n.wire.net.Start()
		defer n.wire.net.Close()
		defer n.stopAll()
		f(t, n)
	})
}

// Now returns how much virtual time has passed since the network was made.
func (n *Network) Now() time.Duration { return time.Since(n.began) }

// Sleep lets virtual time pass.
func (n *Network) Sleep(d time.Duration) { time.Sleep(d) }

// stage tells who waits how far the network is.
func (n *Network) stage(format string, args ...any) {
	if n.opts.Progress != nil {
		n.opts.Progress(fmt.Sprintf("%v: %s", n.Now().Round(time.Second), fmt.Sprintf(format, args...)))
	}
}

// newLogger makes a logger that stamps records with the network's own clock.
func (n *Network) newLogger(w io.Writer) *slog.Logger {
	if w == nil {
		return discard()
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Duration("at", n.Now())
			}
			return a
		},
	}))
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
