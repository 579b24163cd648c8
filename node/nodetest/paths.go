package nodetest

import (
	"container/heap"
	"math"
	"time"
)

// unreached is the length of a path that there is not.
const unreached = time.Duration(math.MaxInt64)

// links are the connections of a network: whom each node is connected to.
type links [][]int

// shortest returns how long a message takes from one node to each other over
// the fastest path there is, when nothing but latency delays it.
func (l links) shortest(from int, latency func(a, b int) time.Duration) []time.Duration {
	took := make([]time.Duration, len(l))
	for i := range took {
		took[i] = unreached
	}
	took[from] = 0
	open := &frontier{{from, 0}}
	for open.Len() > 0 {
		at := heap.Pop(open).(reached)
		if at.after > took[at.node] {
			continue // by a longer way
		}
		for _, next := range l[at.node] {
			if d := at.after + latency(at.node, next); d < took[next] {
				took[next] = d
				heap.Push(open, reached{next, d})
			}
		}
	}
	return took
}

// everyone is the network in which each of count nodes has a connection to all
// others: no message is faster than over its paths.
func everyone(count int) links {
	l := make(links, count)
	for a := range l {
		for b := range count {
			if a != b {
				l[a] = append(l[a], b)
			}
		}
	}
	return l
}

// reached is a node, and how long after the start it is reached.
type reached struct {
	node  int
	after time.Duration
}

// frontier is a heap of nodes, the one reached first on top.
type frontier []reached

func (f frontier) Len() int           { return len(f) }
func (f frontier) Less(a, b int) bool { return f[a].after < f[b].after }
func (f frontier) Swap(a, b int)      { f[a], f[b] = f[b], f[a] }
func (f *frontier) Push(x any)        { *f = append(*f, x.(reached)) }
func (f *frontier) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	*f = (*f)[:last]
	return x
}
