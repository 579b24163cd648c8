package nodetest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// How long a node that churn took is away.
const (
	awayMin = 10 * time.Second
	awayMax = time.Minute
)

// Churn has nodes leave and return all the time. Half of them stop cleanly, the
// others crash; one in two that return has lost its ledger, as a new node in
// place of the old one would have.
type Churn struct {
	n     *Network
	rng   *rand.Rand
	every time.Duration
	next  time.Time
	away  map[int]time.Time // until when
	count int               // of those that left
}

// newChurn takes a share of all nodes a minute, drawn from the seed. It is nil,
// which is no churn, when that is 0.
func (n *Network) newChurn(share float64) *Churn {
	if share == 0 {
		return nil
	}
	every := time.Duration(float64(time.Minute) / share / float64(len(n.Nodes)))
	return &Churn{
		n:     n,
		rng:   rand.New(rand.NewPCG(n.seed, 6)),
		every: every,
		next:  time.Now().Add(every / 2),
		away:  make(map[int]time.Time),
	}
}

// left returns how often a node left.
func (c *Churn) left() int {
	if c == nil {
		return 0
	}
	return c.count
}

// sleep lets virtual time pass, in which nodes come and go.
func (c *Churn) sleep(d time.Duration) {
	if c == nil {
		time.Sleep(d)
		return
	}
	until := time.Now().Add(d)
	for {
		i, at := c.first()
		if at.After(until) {
			break
		}
		time.Sleep(time.Until(at))
		if i >= 0 {
			c.bringBack(i)
			continue
		}
		c.take()
		c.next = at.Add(c.every)
	}
	time.Sleep(time.Until(until))
}

// first is what happens next: a node's return, or -1 for a departure.
func (c *Churn) first() (node int, at time.Time) {
	node, at = -1, c.next
	for i, until := range c.away {
		if until.Before(at) || until.Equal(at) && i < node {
			node, at = i, until
		}
	}
	return node, at
}

// take has a member leave.
func (c *Churn) take() {
	i := c.rng.IntN(len(c.n.Nodes))
	if c.n.Nodes[i].Member() == nil {
		return
	}
	c.count++
	c.away[i] = time.Now().Add(awayMin + time.Duration(c.rng.Int64N(int64(awayMax-awayMin))))
	if c.rng.IntN(2) == 0 {
		c.n.Stop(i)
		return
	}
	c.n.Crash(i)
}

func (c *Churn) bringBack(i int) {
	delete(c.away, i)
	if c.rng.IntN(2) == 0 {
		c.n.Nodes[i].disks++ // the next ledger, which is empty
	}
	c.n.Start(i)
}

// end brings back all that are away.
func (c *Churn) end() {
	if c == nil {
		return
	}
	for _, i := range slices.Sorted(maps.Keys(c.away)) {
		c.bringBack(i)
	}
}
