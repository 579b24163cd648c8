package nodetest

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Load is what is published to see how it spreads: single pings from nodes
// drawn at random, one after the other.
type Load struct {
	Messages int
	// Every is the time between two of them.
	Every time.Duration
	// Size is the length of a ping's text, bytes.
	Size int
	// Patience is how long to wait, after the last of them, until all running
	// nodes hold all of them.
	Patience time.Duration
}

// Sent is a ping of a [Load].
type Sent struct {
	From int
	ID   entry.ID
	// At is when, in whole microseconds, as ledgers keep times.
	At time.Time
	// Paths are how long it takes from there to each node over the connections
	// of that moment, when nothing but latency delays it.
	Paths []time.Duration

	lives []*life // of all nodes at that time; nil for those that were down
}

// Spread publishes a load, under churn unless that is nil, and returns when all
// nodes are back and have all of it, or patience is over. It draws who publishes
// from the seed. The network has a World.
func (n *Network) Spread(load Load, churn *Churn) []Sent {
	n.t.Helper()
	rng := rand.New(rand.NewPCG(n.seed, 4))
	all := make([]Sent, 0, load.Messages)
	for k := range load.Messages {
		if k > 0 {
			churn.sleep(load.Every)
		}
		from := rng.IntN(len(n.Nodes))
		for n.Nodes[from].Member() == nil {
			from = rng.IntN(len(n.Nodes))
		}
		all = append(all, n.send(from, load.Size))
		n.stage("%d of %d are published", k+1, load.Messages)
	}
	churn.end()
	n.Await(load.Patience, func() bool {
		return !slices.ContainsFunc(n.Nodes, func(d *Node) bool {
			return d.Member() != nil && d.Ledger().State().Pings < n.Acked()
		})
	})
	return all
}

// send publishes one ping.
func (n *Network) send(from, size int) Sent {
	n.t.Helper()
	s := Sent{
		From:  from,
		At:    time.Now().Truncate(time.Microsecond),
		Paths: n.links().shortest(from, n.opts.World.latency),
		lives: make([]*life, len(n.Nodes)),
	}
	for i, d := range n.Nodes {
		s.lives[i] = d.life
	}
	n.mu.Lock()
	text := pingText(len(n.tried), from)
	text += strings.Repeat(".", max(0, size-len(text)))
	n.tried[text] = from
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), publishPatience)
	defer cancel()
	published, err := n.Nodes[from].Member().Publish(ctx, text)
	if err != nil {
		n.t.Fatalf("publishing from node %d: %v", from, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acked[text] = true
	s.ID = published.Entry
	return s
}

// links are the connections between the running members, as they are.
func (n *Network) links() links {
	index := n.indices()
	all := make(links, len(n.Nodes))
	for i, d := range n.Nodes {
		if d.Member() == nil {
			continue
		}
		for _, id := range d.Host().Network().Peers() {
			if j, ok := index[id]; ok && n.Nodes[j].Member() != nil {
				all[i] = append(all[i], j)
			}
		}
	}
	return all
}

// arrival is when and by which way an entry came to a node.
type arrival struct {
	at  time.Time
	via ledger.Via
}

// arrivals are those of all entries that a node holds.
func (d *Node) arrivals() (map[entry.ID]arrival, error) {
	all := make(map[entry.ID]arrival)
	err := d.follow(0, func(r ledger.Record) { all[r.Entry.ID] = arrival{r.ReceivedAt, r.Via} })
	return all, err
}
