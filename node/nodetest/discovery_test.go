package nodetest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Bounds of what discovery must show.
const (
	meetsWithin = 30 * time.Second
	enough      = 6 // GossipSub's degree
)

func discovering() Options {
	opts := options()
	opts.Discovery = true
	return opts
}

func (n *Network) one() bool { return len(n.Parts()) == 1 }

// together fails unless the running nodes are, or soon become, one network with
// equal ledgers, in which a ping of each reaches all.
func together(t *testing.T, n *Network, when string) {
	t.Helper()
	took, ok := n.Await(meetsWithin, n.one)
	if !ok {
		t.Fatalf("%s: still %v after %v", when, n.Parts(), took)
	}
	for i, d := range n.Nodes {
		if d.Up() {
			if err := n.Ping(i); err != nil {
				t.Error(err)
			}
		}
	}
	settled, err := n.WaitConverged(convergesAlways)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	t.Logf("%s: one network after %v, equal %v later", when, took, settled)
}

func TestStarOutlivesItsHub(t *testing.T) {
	for _, how := range []struct {
		name string
		down func(*Network, ...int)
	}{{"stopped", (*Network).Stop}, {"crashed", (*Network).Crash}} {
		t.Run(how.name, func(t *testing.T) {
			Run(t, 1, discovering(), func(t *testing.T, n *Network) {
				n.Start(n.Star(10)...)
				if took, ok := n.Await(meetsWithin, func() bool {
					return !slices.ContainsFunc(n.Nodes, func(d *Node) bool { return len(n.Neighbours(d.Index)) < enough })
				}); !ok {
					t.Fatalf("no enough peers after %v", took)
				}
				time.Sleep(40 * time.Second) // everything is remembered
				how.down(n, 0)
				together(t, n, "without the hub")
				for i := 1; i < 10; i++ {
					how.down(n, i)
					time.Sleep(time.Second)
					n.Start(i)
					together(t, n, fmt.Sprintf("node %d is back", i))
				}
				how.down(n, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				n.Start(9, 8, 7, 6, 5, 4, 3, 2, 1)
				together(t, n, "all are back at once")
				n.Start(0)
				began := n.Now()
				if took, ok := n.Await(reconnect, func() bool { return len(n.Neighbours(0)) >= enough }); !ok {
					t.Errorf("the hub has %v after %v", n.Neighbours(0), took)
				}
				t.Logf("the hub has its peers after %v", n.Now()-began)
				together(t, n, "the hub is back")
				if err := n.CheckPings(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// checkDegrees fails unless every node has enough peers, and none all.
func checkDegrees(t *testing.T, n *Network) {
	t.Helper()
	sum, most := 0, 0
	for i := range n.Nodes {
		k := len(n.Neighbours(i))
		sum += k
		if i == 0 {
			continue // the hub
		}
		most = max(most, k)
		if k < min(enough, len(n.Nodes)-1) {
			t.Errorf("node %d has %d peers", i, k)
		}
		if len(n.Nodes) > 20 && k >= len(n.Nodes)-1 {
			t.Errorf("node %d has all others", i)
		}
	}
	t.Logf("%d nodes: %.1f peers on average, %d at most but for the hub", len(n.Nodes), float64(sum)/float64(len(n.Nodes)), most)
}

func TestManyFindEnough(t *testing.T) {
	Run(t, 1, discovering(), func(t *testing.T, n *Network) {
		n.Start(n.Star(*manyFlag)...)
		took, ok := n.Await(meetsWithin, func() bool {
			return !slices.ContainsFunc(n.Nodes, func(d *Node) bool { return len(n.Neighbours(d.Index)) < enough })
		})
		t.Logf("enough peers: %t after %v", ok, took)
		time.Sleep(meetsWithin - took)
		checkDegrees(t, n)
		n.Stop(0)
		together(t, n, "without the hub")
	})
}

func TestSmallNetworksAreFull(t *testing.T) {
	for _, size := range []int{3, 9} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			Run(t, 1, discovering(), func(t *testing.T, n *Network) {
				n.Start(n.Line(size)...)
				if took, ok := n.Await(time.Minute, func() bool {
					return !slices.ContainsFunc(n.Nodes, func(d *Node) bool { return len(n.Neighbours(d.Index)) < size-1 })
				}); !ok {
					for i := range n.Nodes {
						t.Errorf("node %d has %v after %v", i, n.Neighbours(i), took)
					}
				}
			})
		})
	}
}

// TestPartitionWithDiscovery cuts networks in two, in which each half fills up
// with peers of its own, and some restart.
func TestPartitionWithDiscovery(t *testing.T) {
	for _, size := range []int{10, 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			Run(t, 1, discovering(), func(t *testing.T, n *Network) {
				n.Start(n.Star(size)...)
				time.Sleep(time.Minute)
				half := make([]int, size/2)
				for i := range half {
					half[i] = i
				}
				n.Partition(half)
				time.Sleep(2 * time.Minute)
				if len(n.Parts()) != 2 {
					t.Fatalf("parts: %v", n.Parts())
				}
				n.Restart(1, size-1)
				for i := range n.Nodes {
					if err := n.Ping(i); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(3 * time.Minute)
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
		})
	}
}

// TestTopicsDontMix has two networks share a bootstrap peer, which is on the
// topic of one of them.
func TestTopicsDontMix(t *testing.T) {
	opts := discovering()
	opts.Topic = func(i int) string { return []string{"even", "odd"}[i%2] }
	Run(t, 1, opts, func(t *testing.T, n *Network) {
		hub := n.Add()
		for range 6 {
			n.Add(hub)
		}
		n.Add(hub, 1) // 7: odd ones that know each other, to see that they do meet
		n.Add(hub)
		n.StartAll()
		time.Sleep(5 * time.Minute)
		for i := range n.Nodes {
			for _, p := range n.Nodes[i].Member().Peers() {
				j := slices.IndexFunc(n.Nodes, func(d *Node) bool { return d.ID == p.PeerID })
				if i%2 != j%2 && i != hub && j != hub {
					t.Errorf("node %d is connected to node %d", i, j)
				}
			}
		}
		if got := n.Neighbours(2); !slices.Equal(got, []int{0, 4, 6, 8}) {
			t.Errorf("node 2 has %v on its topic", got)
		}
		if got := n.Neighbours(7); !slices.Equal(got, []int{1}) {
			t.Errorf("node 7 has %v on its topic", got)
		}
	})
}

// TestSchedulesWithDiscovery plays schedules in which nodes find each other.
func TestSchedulesWithDiscovery(t *testing.T) {
	all := seeds()
	for _, seed := range all[:min(len(all), len(all)/4)] {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			took, err := play(t, seed, discovering(), convergesAlways)
			if err != nil {
				t.Errorf("%v\nreplay with: go test ./node/nodetest -run TestSchedulesWithDiscovery -seed %d", err, seed)
			}
			t.Logf("seed %d converged in %v", seed, took)
		})
	}
}
