package nodetest

import (
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Neighbours returns the nodes that a running node is connected to and sees on
// its topic, in order.
func (n *Network) Neighbours(i int) []int {
	member := n.Nodes[i].Member()
	if member == nil {
		return nil
	}
	index := n.indices()
	var all []int
	for _, p := range member.Peers() {
		if j, ok := index[p.PeerID]; ok && p.OnTopic {
			all = append(all, j)
		}
	}
	slices.Sort(all)
	return all
}

// members counts the running members.
func (n *Network) members() int {
	count := 0
	for _, d := range n.Nodes {
		if d.Member() != nil {
			count++
		}
	}
	return count
}

// indices are the nodes' places by their peer IDs.
func (n *Network) indices() map[peer.ID]int {
	index := make(map[peer.ID]int, len(n.Nodes))
	for i, d := range n.Nodes {
		index[d.ID] = i
	}
	return index
}

// Parts returns the networks that the running nodes form by whom they see on
// the topic: one, unless something is wrong.
func (n *Network) Parts() [][]int {
	var parts [][]int
	seen := make(map[int]bool)
	for i, d := range n.Nodes {
		if !d.Up() || seen[i] {
			continue
		}
		part := map[int]bool{i: true}
		for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
			for _, j := range n.Neighbours(queue[0]) {
				if n.Nodes[j].Up() && !part[j] {
					part[j] = true
					queue = append(queue, j)
				}
			}
		}
		maps.Copy(seen, part)
		parts = append(parts, slices.Sorted(maps.Keys(part)))
	}
	return parts
}

// Await lets virtual time pass until what is wanted holds, at most limit, and
// returns how long that took, to 100 ms, and whether it did.
func (n *Network) Await(limit time.Duration, want func() bool) (time.Duration, bool) {
	began := time.Now()
	for !want() {
		if time.Since(began) >= limit {
			return time.Since(began), false
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began), true
}
