package nodetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the schedules must show: P2 and the bound that no seed may exceed.
const (
	convergesWithin = 10 * time.Second // in 99 of 100 schedules
	convergesAlways = 60 * time.Second
	// gossipRecovers is QUIC's idle timeout and what the watchdog then needs.
	gossipRecovers = 40 * time.Second
)

// play plays the schedule of one seed and returns how long the network took to
// converge once the trouble was over, or why it didn't within limit.
func play(t *testing.T, seed uint64, opts Options, limit time.Duration) (took time.Duration, err error) {
	t.Helper()
	schedule := Plan(rand.New(rand.NewPCG(seed, 2)))
	Run(t, seed, opts, func(_ *testing.T, n *Network) {
		n.Play(schedule)
		took, err = n.WaitConverged(limit)
		if err == nil {
			err = n.CheckPings()
		}
		if err != nil {
			err = fmt.Errorf("%w\nafter this schedule: %v", err, schedule)
		}
	})
	return took, err
}

func TestPlan(t *testing.T) {
	kinds := make(map[string]bool)
	for seed := range uint64(200) {
		s := Plan(rand.New(rand.NewPCG(seed, 2)))
		if again := Plan(rand.New(rand.NewPCG(seed, 2))); again.String() != s.String() {
			t.Fatalf("seed %d means two schedules:\n%v\n%v", seed, s, again)
		}
		if s.Nodes < 5 || s.Nodes > 10 {
			t.Errorf("seed %d: %d nodes", seed, s.Nodes)
		}
		for _, e := range s.Events {
			for _, kind := range []string{
				"start", "stop", "crash", "partition", "heal", "cut", "weather", "pings", "clock", "deaf",
				"dial each other", "reset " + PubSub, "reset " + CatchUp,
			} {
				if strings.Contains(e.What, kind) {
					kinds[kind] = true
				}
			}
		}
	}
	if len(kinds) != 13 {
		t.Errorf("200 schedules hold only %v", slices.Sorted(maps.Keys(kinds)))
	}
}

func TestSchedules(t *testing.T) {
	var all []time.Duration
	for _, seed := range seeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			took, err := play(t, seed, options(), convergesAlways)
			if err != nil {
				t.Errorf("%v\nreplay with: go test ./node/nodetest -run TestSchedules -seed %d", err, seed)
			}
			t.Logf("seed %d converged in %v", seed, took)
			all = append(all, took)
		})
	}
	slices.Sort(all)
	p50, p99 := all[len(all)/2], all[len(all)*99/100]
	t.Logf("%d schedules converged: p50 %v, p99 %v, last %v", len(all), p50, p99, all[len(all)-1])
	if p99 > convergesWithin {
		t.Errorf("p99 is %v, over %v", p99, convergesWithin)
	}
}

// TestSabotage shows that the schedules bite: without catch-up they fail.
func TestSabotage(t *testing.T) {
	opts := options()
	opts.NoCatchUp = true
	failed := 0
	for seed := range uint64(4) {
		if _, err := play(t, seed+1, opts, convergesAlways); err != nil {
			failed++
			t.Logf("seed %d, as it should: %.100s...", seed+1, err.Error())
		}
	}
	if failed == 0 {
		t.Error("every schedule converged without catch-up: they test nothing")
	}
}

// TestGossipRecovers plays schedules without catch-up and shows that the fast
// path works again by itself when the trouble is over: it is not catch-up that
// hides a broken one.
func TestGossipRecovers(t *testing.T) {
	opts := options()
	opts.NoCatchUp = true
	for _, seed := range seeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			schedule := Plan(rand.New(rand.NewPCG(seed, 2)))
			Run(t, seed, opts, func(t *testing.T, n *Network) {
				n.Play(schedule)
				time.Sleep(gossipRecovers)
				before := len(n.tried)
				for i := range n.Nodes {
					if err := n.Ping(i); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(5 * time.Second)
				for i, texts := range shown(t, n) {
					for k := range n.Nodes {
						if text := pingText(before+k, k); len(texts[text]) != 1 {
							t.Errorf("node %d shows %q %v", i, text, texts[text])
						}
					}
				}
				if t.Failed() {
					t.Logf("seed %d: %v", seed, schedule)
				}
			})
		})
	}
}
