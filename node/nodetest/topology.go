package nodetest

// Line adds count nodes, each of which knows the one before it, as in the
// tutorial. It returns their indices.
func (n *Network) Line(count int) []int {
	return n.add(count, func(i int) []int {
		if i == 0 {
			return nil
		}
		return []int{i - 1}
	})
}

// Ring is [Network.Line] whose first node knows the last one.
func (n *Network) Ring(count int) []int {
	return n.add(count, func(i int) []int { return []int{(i + count - 1) % count} })
}

// Star adds a hub that knows nobody, and nodes that know it.
func (n *Network) Star(count int) []int {
	return n.add(count, func(i int) []int {
		if i == 0 {
			return nil
		}
		return []int{0}
	})
}

// Full adds nodes each of which knows all others.
func (n *Network) Full(count int) []int {
	return n.add(count, func(i int) []int {
		var others []int
		for j := range count {
			if j != i {
				others = append(others, j)
			}
		}
		return others
	})
}

// add adds count nodes; knows names the bootstrap peers of the i-th of them by
// their places among the new ones.
func (n *Network) add(count int, knows func(i int) []int) []int {
	first := len(n.Nodes)
	added := make([]int, 0, count)
	for i := range count {
		var bootstrap []int
		for _, j := range knows(i) {
			bootstrap = append(bootstrap, first+j)
		}
		added = append(added, n.Add(bootstrap...))
	}
	return added
}
