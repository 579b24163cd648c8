package nodetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// connected waits until the network is one and every node has a peer on the
// topic, at most a minute.
func connected(t *testing.T, n *Network) {
	t.Helper()
	for range 600 {
		if n.Joined() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("not connected within a minute")
}

// shown counts how often each node shows each text, and by which way it came.
func shown(t *testing.T, n *Network) []map[string][]ledger.Via {
	t.Helper()
	all := make([]map[string][]ledger.Via, len(n.Nodes))
	for i, d := range n.Nodes {
		all[i] = make(map[string][]ledger.Via)
		if err := d.follow(0, func(r ledger.Record) {
			for _, p := range r.Entry.Pings {
				all[i][p.Text] = append(all[i][p.Text], r.Via)
			}
		}); err != nil {
			t.Error(err)
		}
	}
	return all
}

func TestTopologies(t *testing.T) {
	const count = 10
	tests := []struct {
		name  string
		build func(*Network, int) []int
	}{
		{"line", (*Network).Line}, {"ring", (*Network).Ring}, {"star", (*Network).Star}, {"full", (*Network).Full},
	}
	for _, tt := range tests {
		for _, catchUp := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/catch-up=%t", tt.name, catchUp), func(t *testing.T) {
				opts := options()
				opts.NoCatchUp = !catchUp
				Run(t, 1, opts, func(t *testing.T, n *Network) {
					n.Start(tt.build(n, count)...)
					connected(t, n)
					time.Sleep(3 * time.Second) // for the mesh to form
					for i := range count {
						if err := n.Ping(i); err != nil {
							t.Error(err)
						}
					}
					took, err := n.WaitConverged(10 * time.Second)
					if err != nil {
						t.Errorf("after %v: %v", took, err)
					}
					for i, texts := range shown(t, n) {
						for text, vias := range texts {
							own := n.tried[text] == i
							if len(vias) != 1 || own != (vias[0] == ledger.Own) || !own && vias[0] != ledger.Gossip {
								t.Errorf("node %d shows %q %v", i, text, vias)
							}
						}
						if len(texts) != count {
							t.Errorf("node %d shows %d pings", i, len(texts))
						}
					}
				})
			})
		}
	}
}

func TestBurst(t *testing.T) {
	tests := []struct {
		name    string
		count   int
		catchUp bool
		lossy   bool // whether gossip has to drop some
	}{
		{"gossip takes 4,000", 4000, false, false},
		{"catch-up brings what no queue holds", 6000, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if raceEnabled && tt.lossy {
				t.Skip("takes minutes with the race detector, and finds no more")
			}
			opts := options()
			opts.NoCatchUp = !tt.catchUp
			Run(t, 1, opts, func(t *testing.T, n *Network) {
				n.Start(n.Line(3)...)
				connected(t, n)
				time.Sleep(3 * time.Second)
				// No virtual time passes meanwhile, so the wire takes nothing
				// and all of it waits in the queues.
				for range tt.count {
					if err := n.Ping(0); err != nil {
						t.Fatal(err)
					}
				}
				if took, err := n.WaitConverged(time.Minute); err != nil {
					t.Errorf("after %v: %v", took, err)
				}
				if err := n.CheckPings(); err != nil {
					t.Error(err)
				}
				fetched := 0
				for _, texts := range shown(t, n) {
					for _, vias := range texts {
						if vias[0] == ledger.CatchUp {
							fetched++
						}
					}
				}
				if tt.lossy != (fetched > 0) {
					t.Errorf("%d pings came by catch-up", fetched)
				}
			})
		})
	}
}

func TestFaultsHeal(t *testing.T) {
	tests := []struct {
		name  string
		fault func(t *testing.T, n *Network)
	}{
		{"a reset pubsub stream", func(t *testing.T, n *Network) {
			if n.Deaf(0, 1) == 0 {
				t.Error("no stream to reset")
			}
		}},
		{"all pubsub streams reset", func(t *testing.T, n *Network) {
			if n.ResetStreams(0, 1, PubSub) < 2 {
				t.Error("no streams to reset")
			}
		}},
		{"a mutual dial", func(t *testing.T, n *Network) {
			if got := n.DoubleDial(0, 1); got != 2 {
				t.Errorf("%d connections", got)
			}
		}},
		{"one of two connections closed", func(_ *testing.T, n *Network) {
			n.DoubleDial(0, 1)
			time.Sleep(time.Second)
			conns := n.Nodes[0].Host().Network().ConnsToPeer(n.Nodes[1].ID)
			_ = conns[0].Close()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := options()
			opts.NoCatchUp = true // gossip must heal, not be covered up for
			Run(t, 1, opts, func(t *testing.T, n *Network) {
				n.Start(n.Line(2)...)
				connected(t, n)
				for round := range 6 { // pubsub gives up reopening after four
					tt.fault(t, n)
					time.Sleep(30 * time.Second)
					connected(t, n)
					for i := range n.Nodes {
						if err := n.Ping(i); err != nil {
							t.Error(err)
						}
					}
					if _, err := n.WaitConverged(5 * time.Second); err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
				}
			})
		})
	}
}

// reconnect is P7's bound.
const reconnect = 15 * time.Second

func TestStartOrderReversed(t *testing.T) {
	Run(t, 1, options(), func(t *testing.T, n *Network) {
		line := n.Line(5)
		for _, i := range slices.Backward(line) {
			n.Start(i)
			if err := n.Ping(i); err != nil { // alone: kept, and sent later
				t.Error(err)
			}
			time.Sleep(20 * time.Second)
		}
		if took, err := n.WaitConverged(reconnect); err != nil {
			t.Errorf("after %v: %v", took, err)
		}
		if err := n.CheckPings(); err != nil {
			t.Error(err)
		}
	})
}

func TestBootstrapReturns(t *testing.T) {
	tests := []struct {
		name string
		down func(*Network, ...int)
		away time.Duration
	}{
		{"stopped for a second", (*Network).Stop, time.Second},
		{"crashed for a second", (*Network).Crash, time.Second},
		{"stopped for a minute", (*Network).Stop, time.Minute},
		{"crashed for a minute", (*Network).Crash, time.Minute},
		{"stopped for an hour", (*Network).Stop, time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			Run(t, 1, options(), func(t *testing.T, n *Network) {
				n.Start(n.Star(4)...)
				connected(t, n)
				tt.down(n, 0)
				time.Sleep(tt.away)
				for i := range n.Nodes[1:] {
					if err := n.Ping(i + 1); err != nil {
						t.Error(err)
					}
				}
				n.Start(0)
				began := time.Now()
				for !n.Joined() && time.Since(began) < time.Minute {
					time.Sleep(100 * time.Millisecond)
				}
				if took := time.Since(began); took > reconnect {
					t.Errorf("reconnected after %v", took)
				}
				if _, err := n.WaitConverged(reconnect); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestDeadConnectionGivesWay has a leaf crash and return at once. The hub still
// has a connection to it, which is dead and which looks alive for half a minute,
// and must let go of it for the new one soon.
func TestDeadConnectionGivesWay(t *testing.T) {
	opts := options()
	opts.NoCatchUp = true
	Run(t, 1, opts, func(t *testing.T, n *Network) {
		n.Start(n.Star(2)...)
		connected(t, n)
		n.Crash(1)
		n.Start(1)
		time.Sleep(10 * time.Second)
		for i := range n.Nodes {
			if err := n.Ping(i); err != nil {
				t.Error(err)
			}
		}
		if _, err := n.WaitConverged(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestFutureIsTakenInTime has a node publish by a clock that is too far ahead.
// Others must neither take its pings at once nor forget them, and once a day
// before their time has come, take them.
func TestFutureIsTakenInTime(t *testing.T) {
	const early = 5 * time.Minute
	Run(t, 1, options(), func(t *testing.T, n *Network) {
		n.Start(n.Line(3)...)
		connected(t, n)
		n.ClockSkew(0, entry.MaxFuture+early)
		if err := n.Ping(0); err != nil {
			t.Fatal(err)
		}
		n.ClockSkew(0, 0) // its ledger holds what it would not take any more
		if err := n.Ping(1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(early - time.Minute)
		for i, d := range n.Nodes {
			want := 1
			if i == 0 {
				want = 2
			}
			if got := d.Ledger().State().Pings; got != want {
				t.Errorf("node %d holds %d pings before the time has come", i, got)
			}
		}
		took, err := n.WaitConverged(4 * time.Minute)
		if err != nil {
			t.Error(err)
		}
		t.Logf("taken %v after its time", took-time.Minute)
		if err := n.CheckPings(); err != nil {
			t.Error(err)
		}
	})
}

// TestLateJoinerOnABadLine has a node join that lacks thousands of entries,
// over a line that loses a fifth of all packets, and has it crash on the way.
func TestLateJoinerOnABadLine(t *testing.T) {
	const count = 5000 // stored in batches of 2048
	Run(t, 1, options(), func(t *testing.T, n *Network) {
		n.Line(3)
		n.Start(0, 1)
		if err := n.Fill(0, count); err != nil {
			t.Fatal(err)
		}
		n.Loss(0.2)
		n.Start(2)
		for n.Nodes[2].Ledger().State().Entries < count/3 {
			if n.Now() > 10*time.Minute {
				t.Fatal("too slow", n.counts())
			}
			time.Sleep(100 * time.Millisecond)
		}
		n.Crash(2)
		if err := n.Ping(1); err != nil {
			t.Error(err)
		}
		n.Start(2)
		kept := n.Nodes[2].Ledger().State().Entries
		if kept < count/3 || kept >= count {
			t.Errorf("%d entries survived the crash", kept)
		}
		took, err := n.WaitConverged(10 * time.Minute)
		if err != nil {
			t.Error(err)
		}
		t.Logf("%d entries at the crash, %d after %v more", kept, count, took)
		if err := n.CheckPings(); err != nil {
			t.Error(err)
		}
	})
}

func TestPartitionHealsByItself(t *testing.T) {
	Run(t, 1, options(), func(t *testing.T, n *Network) {
		n.Start(n.Line(10)...)
		connected(t, n)
		n.Partition([]int{0, 1, 2, 3, 4})
		for range 10 {
			time.Sleep(30 * time.Second)
			for i := range n.Nodes {
				if err := n.Ping(i); err != nil {
					t.Error(err)
				}
			}
		}
		if err := n.Converged(); err == nil {
			t.Error("the partition let pings through")
		}
		n.Heal()
		took, err := n.WaitConverged(time.Minute)
		if err != nil {
			t.Error(err)
		}
		t.Logf("one network again after %v", took)
		if took > convergesWithin {
			t.Errorf("one network again after %v", took)
		}
		if err := n.CheckPings(); err != nil {
			t.Error(err)
		}
	})
}
