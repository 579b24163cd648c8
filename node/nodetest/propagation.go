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
	// RatioOfP99 is the 99th percentile of all deliveries' times to that of all
	// their shortest paths: the figure that has a goal.
	RatioOfP99 float64
	// Held is the share of all pings that all nodes which are up hold at the end,
	// those that were down meanwhile too; 1 is everything.
	Held float64
	// ByGossip and ByCatchUp are shares of the deliveries.
	ByGossip, ByCatchUp float64
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
	took, shortest, ratio []float64
	vias                  map[ledger.Via]int
	held, wanted          int
	// early is how many came before any path allows, which nothing can.
	early int
}

// deliveries looks in all ledgers for what was sent.
func (n *Network) deliveries(all []Sent) (deliveries, error) {
	found := deliveries{vias: make(map[ledger.Via]int)}
	fastest := everyone(len(n.Nodes))
	bound := make(map[int][]time.Duration) // by author
	for _, s := range all {
		if bound[s.From] == nil {
			bound[s.From] = fastest.shortest(s.From, n.opts.World.latency)
		}
	}
	for i, d := range n.Nodes {
		if d.Member() == nil {
			continue
		}
		arrivals, err := d.arrivals()
		if err != nil {
			return found, err
		}
		for _, s := range all {
			a, ok := arrivals[s.ID]
			found.wanted++
			if ok {
				found.held++
			}
			if !ok || i == s.From || s.lives[i] != d.life {
				continue
			}
			found.add(a.at.Sub(s.At), s.Paths[i], a.via)
			// Ledgers keep whole microseconds.
			if a.at.Sub(s.At) < bound[s.From][i]-time.Microsecond {
				found.early++
			}
		}
	}
	return found, nil
}

// add counts one delivery.
func (f *deliveries) add(took, shortest time.Duration, via ledger.Via) {
	f.vias[via]++
	if shortest == unreached {
		return // it was cut off at the time: only its way to the ledger counts
	}
	f.took = append(f.took, milliseconds(took))
	f.shortest = append(f.shortest, milliseconds(shortest))
	f.ratio = append(f.ratio, float64(took)/float64(shortest))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// propagation sums up.
func (f *deliveries) propagation() Propagation {
	count := float64(max(1, f.vias[ledger.Gossip]+f.vias[ledger.CatchUp]))
	p := Propagation{
		Took:      quantiles(f.took),
		Shortest:  quantiles(f.shortest),
		Ratio:     quantiles(f.ratio),
		Held:      float64(f.held) / float64(max(1, f.wanted)),
		ByGossip:  float64(f.vias[ledger.Gossip]) / count,
		ByCatchUp: float64(f.vias[ledger.CatchUp]) / count,
	}
	p.RatioOfP99 = p.Took.P99 / p.Shortest.P99
	return p
}
