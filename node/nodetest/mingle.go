package nodetest

import (
	"math/rand/v2"
	"sync"
)

// What [Network.Mingle] gives each node: package discovery looks for 8 peers,
// and leaves 300 nodes with 14 each on average.
const (
	mingleKept = 3 // bootstrap peers, as many as discovery wants to have chosen
	mingleMet  = 4 // others that it dials once
	mingleMin  = 8
)

// mingled draws whom each of count nodes dials, so that the network is what
// discovery makes of one: links at random, at least mingleMin peers each where
// there are so many. Nobody is dialled from both ends.
func mingled(rng *rand.Rand, count int) links {
	dials := make(links, count)
	linked := make([]map[int]bool, count)
	for i := range linked {
		linked[i] = map[int]bool{i: true} // with itself, so that it isn't drawn
	}
	dial := func(i int) {
		if len(linked[i]) == count {
			return // with all there are
		}
		j := rng.IntN(count)
		for linked[i][j] {
			j = rng.IntN(count)
		}
		dials[i] = append(dials[i], j)
		linked[i][j], linked[j][i] = true, true
	}
	for range mingleKept + mingleMet {
		for _, i := range rng.Perm(count) {
			dial(i)
		}
	}
	for i := range count {
		for len(linked[i]) <= min(mingleMin, count-1) {
			dial(i)
		}
	}
	return dials
}

// Mingle adds and starts count nodes that are connected as discovery would have
// connected them, so that it finds nothing to do. That saves the time of
// searching, and the same seed has the same links.
func (n *Network) Mingle(count int) {
	n.t.Helper()
	dials := mingled(rand.New(rand.NewPCG(n.seed, 3)), count)
	added := n.add(count, func(i int) []int { return dials[i][:min(len(dials[i]), mingleKept)] })
	for _, i := range added {
		n.startHost(i)
	}
	var wg sync.WaitGroup
	for i, all := range dials {
		wg.Go(func() {
			for _, j := range all {
				if err := n.Connect(added[i], added[j]); err != nil {
					n.t.Errorf("connecting node %d to node %d: %v", i, j, err)
				}
			}
		})
	}
	wg.Wait()
	for _, i := range added {
		n.startMember(i)
	}
}
