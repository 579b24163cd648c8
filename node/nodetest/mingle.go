package nodetest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// What [Network.Mingle] gives each node: package discovery looks for 8 peers,
// and leaves 300 nodes with 14 each on average.
const (
	mingleDraws = 7 // links that each node draws
	mingleMin   = 8
	// mingleKept of those who are there when a node joins are its bootstrap peers,
	// as many as discovery wants to have chosen.
	mingleKept = 3
	// joinTime is during which the nodes join, and findTime how long it takes
	// each to find the others that it dials.
	joinTime = time.Minute
	findTime = time.Second
	// agedLatency is that of every hop while an aged network grows, and agedTime
	// how long its meshes take to fill up afterwards.
	agedLatency = 100 * time.Millisecond
	agedTime    = 5 * time.Second
)

// mingled draws whom each of count nodes is connected to, so that the network
// is what discovery makes of one: links at random, at least mingleMin for each
// node where there are so many nodes.
func mingled(rng *rand.Rand, count int) links {
	all := make(links, count)
	draw := func(i int) {
		if len(all[i]) == count-1 {
			return // with everybody there is
		}
		j := rng.IntN(count)
		for j == i || slices.Contains(all[i], j) {
			j = rng.IntN(count)
		}
		all[i], all[j] = append(all[i], j), append(all[j], i)
	}
	for range mingleDraws {
		for _, i := range rng.Perm(count) {
			draw(i)
		}
	}
	for i := range count {
		for len(all[i]) < min(mingleMin, count-1) {
			draw(i)
		}
	}
	return all
}

// Mingle adds and starts count nodes, which get connected as discovery would
// connect them, but to the same others under the same seed. They come one after
// the other, in an order drawn by lot, and each dials those that are there: some
// at once, which are its bootstrap peers, and the others when it could have
// found them.
//
// Even so meshes prefer near peers, who are heard first: between nodes of one
// region, 88 % of 78 links were in the mesh, and 51 % of the 482 others. Nodes
// that come and go wear that off. In a network that is aged it never was:
// everybody is equally far from everybody while it grows.
func (n *Network) Mingle(count int, aged bool) {
	n.t.Helper()
	rng := rand.New(rand.NewPCG(n.seed, 3))
	links := mingled(rng, count)
	added := n.add(count, func(int) []int { return nil })
	n.wire.set(func() { n.wire.flat, n.wire.latency = aged, agedLatency })
	var dials sync.WaitGroup
	for _, k := range rng.Perm(count) {
		var there []int
		for _, j := range links[k] {
			if n.Nodes[added[j]].Up() {
				there = append(there, added[j])
			}
		}
		kept := min(len(there), mingleKept)
		n.Nodes[added[k]].bootstrap = there[:kept]
		n.Start(added[k])
		for _, j := range there[kept:] {
			dials.Go(func() {
				time.Sleep(findTime)
				if err := n.Connect(added[k], j); err != nil {
					n.t.Errorf("connecting node %d to node %d: %v", added[k], j, err)
				}
			})
		}
		time.Sleep(joinTime / time.Duration(count))
	}
	dials.Wait()
	time.Sleep(agedTime)
	n.wire.set(func() { n.wire.flat = false })
}
