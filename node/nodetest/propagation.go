package nodetest

import (
	"slices"
	"time"

	"p2ping/node/ledger"
)

// Propagation says how a [Load] spread. A delivery is one ping at one node
// that was up when the ping was published, and since, other than its author.
type Propagation struct {
	// Members are how many nodes were up at the end.
	Members  int
	Messages int
	// Took is the time from Publish to a delivery, and Shortest the time that
	// the shortest path takes to the same nodes; milliseconds.
	Took     Quantiles
	Shortest Quantiles
	// Ratio is a delivery's time to that of its own shortest path.
	Ratio Quantiles
	// Detour is the time that a delivery took beyond its own shortest path's;
	// milliseconds.
	Detour Quantiles
	// RatioOfP99 is the 99th percentile of all deliveries' times to that of all
	// their shortest paths: the figure that has a goal.
	RatioOfP99 float64
	// RatioOfEach is the same ratio for the deliveries of one ping, so when 99 %
	// of the nodes have it to when they could, on average over the pings.
	RatioOfEach float64
	// Held is the share of all pings that all nodes which are up hold at the end,
	// those that were down meanwhile too; 1 is everything.
	Held float64
	// ByGossip and ByCatchUp are shares of the deliveries.
	ByGossip, ByCatchUp float64
	// Mesh is how many peers a member has in its mesh, and Swallowed the share of
	// them that pass nothing on.
	Mesh, Swallowed Quantiles
	// Left is how often a node left.
	Left int
	// Copies is how often a node received a ping, on average.
	Copies float64
	// Bytes is what a node sent for each ping, UDP payload with all that QUIC
	// adds, less what it sends at rest.
	Bytes float64
	// RestBytes is what a node sends in a minute when nobody publishes.
	RestBytes float64
	// Heap and Stacks are what the process has live for each node, with its
	// share of the simulated wire and of what connections buffer; bytes.
	Heap, Stacks float64
}

// Quantiles describe a distribution.
type Quantiles struct{ Min, P50, P99, Max float64 }

// quantiles sorts values.
func quantiles(values []float64) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	at := func(share float64) float64 { return values[int(share*float64(len(values)-1)+0.5)] }
	return Quantiles{values[0], at(0.5), at(0.99), values[len(values)-1]}
}

// deliveries are what [Propagation] is made of.
type deliveries struct {
	of           []times // of each ping
	vias         map[ledger.Via]int
	held, wanted int
	// early is how many came before any path allows, which nothing can.
	early int
}

// times are deliveries' times and those of their shortest paths, milliseconds.
type times struct{ took, shortest []float64 }

// deliveries looks in all ledgers for what was sent.
func (n *Network) deliveries(all []Sent) (deliveries, error) {
	found := deliveries{of: make([]times, len(all)), vias: make(map[ledger.Via]int)}
	soonest := n.soonest(all)
	for i, d := range n.Nodes {
		if d.Member() == nil {
			continue
		}
		arrivals, err := d.arrivals()
		if err != nil {
			return found, err
		}
		for k, s := range all {
			found.wanted++
			a, ok := arrivals[s.ID]
			if !ok {
				continue
			}
			found.held++
			if i == s.From || s.lives[i] != d.life {
				continue
			}
			took := a.at.Sub(s.At)
			found.vias[a.via]++
			if took < soonest[s.From][i] {
				found.early++
			}
			if s.Paths[i] != unreached { // else it was cut off at the time
				found.of[k].add(took, s.Paths[i])
			}
		}
	}
	return found, nil
}

// soonest is how fast a message of each author can be at all, whatever the
// connections.
func (n *Network) soonest(all []Sent) map[int][]time.Duration {
	paths, fastest := make(map[int][]time.Duration), everyone(len(n.Nodes))
	for _, s := range all {
		if paths[s.From] == nil {
			paths[s.From] = fastest.shortest(s.From, n.opts.World.latency)
		}
	}
	return paths
}

func (t *times) add(took, shortest time.Duration) {
	t.took = append(t.took, milliseconds(took))
	t.shortest = append(t.shortest, milliseconds(shortest))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// propagation sums up.
func (f *deliveries) propagation() Propagation {
	count := float64(max(1, f.vias[ledger.Gossip]+f.vias[ledger.CatchUp]))
	p := Propagation{
		Held:      float64(f.held) / float64(max(1, f.wanted)),
		ByGossip:  float64(f.vias[ledger.Gossip]) / count,
		ByCatchUp: float64(f.vias[ledger.CatchUp]) / count,
	}
	var took, shortest, ratio, detour []float64
	for _, t := range f.of {
		for i := range t.took {
			ratio = append(ratio, t.took[i]/t.shortest[i])
			detour = append(detour, t.took[i]-t.shortest[i])
		}
		took, shortest = append(took, t.took...), append(shortest, t.shortest...)
		p.RatioOfEach += quantiles(t.took).P99 / quantiles(t.shortest).P99 / float64(len(f.of))
	}
	p.Took, p.Shortest, p.Ratio, p.Detour = quantiles(took), quantiles(shortest), quantiles(ratio), quantiles(detour)
	p.RatioOfP99 = p.Took.P99 / p.Shortest.P99
	return p
}
