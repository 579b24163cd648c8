package nodetest

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/marcopolo/simnet"
)

// region is a part of the world, named as in gossipsub-interop.
type region int

const (
	australia region = iota
	europe
	eastAsia
	westAsia
	naEast
	naWest
	southAfrica
	southAmerica
	regions // how many there are
)

// weights are how many nodes of a large network are in each region, and
// oneWay the milliseconds from one to another. Both are those of the network
// model of libp2p's gossipsub-interop, as are the lines of [World].
func weights() [regions]int { return [...]int{290, 5599, 1059, 161, 2894, 1240, 47, 36} }

func oneWay() [regions][regions]int {
	return [...][regions]int{
		australia:    {2, 165, 110, 180, 150, 110, 220, 190},
		europe:       {165, 2, 125, 60, 70, 110, 95, 140},
		eastAsia:     {110, 125, 4, 110, 140, 100, 175, 175},
		westAsia:     {180, 60, 110, 5, 110, 150, 110, 145},
		naEast:       {150, 70, 140, 110, 2, 60, 130, 100},
		naWest:       {110, 110, 100, 150, 60, 2, 160, 100},
		southAfrica:  {220, 95, 175, 110, 130, 160, 7, 190},
		southAmerica: {190, 140, 175, 145, 100, 100, 195, 7},
	}
}

// What a node's line carries, each way: one in five has the fast one.
const (
	fastLine  = 1024 * simnet.Mibps
	slowLine  = 50 * simnet.Mibps
	fastShare = 0.2
)

// World says where each node is and what its line carries, in place of one
// latency and one bandwidth for all.
type World struct {
	places []place
	table  [regions][regions]int
}

type place struct {
	region region
	fast   bool
	near   bool // a swallower's: near to everybody
}

// newWorld places count nodes where nodes are, or as many in each region where
// even is true: the same under the same seed.
func newWorld(seed uint64, count int, even bool) *World {
	rng := rand.New(rand.NewPCG(seed, 2))
	shares := weights()
	if even {
		for r := range shares {
			shares[r] = 1
		}
	}
	sum := 0
	for _, w := range shares {
		sum += w
	}
	w := &World{places: make([]place, count), table: oneWay()}
	for i := range w.places {
		left := rng.IntN(sum)
		var r region
		for left >= shares[r] {
			left -= shares[r]
			r++
		}
		w.places[i] = place{region: r, fast: rng.Float64() < fastShare}
	}
	return w
}

// draw moves swallowers near to everybody.
func (w *World) draw(roles []Role) {
	for i, r := range roles {
		w.places[i].near = r == Swallower
	}
}

// latency is how long what a sends to b is under way, on an empty line.
func (w *World) latency(a, b int) time.Duration {
	if w.places[a].near || w.places[b].near {
		return swallowerNear
	}
	return time.Duration(w.table[w.places[a].region][w.places[b].region]) * time.Millisecond
}

// line is what the i-th node's line carries.
func (w *World) line(i int) simnet.NodeBiDiLinkSettings {
	link := simnet.LinkSettings{BitsPerSecond: slowLine}
	if w.places[i].fast {
		link.BitsPerSecond = fastLine
	}
	return simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}
}

// indexOf is the node whose address is given: the reverse of [address].
func indexOf(a netip.Addr) int {
	b := a.As4()
	return int(b[2])<<8 + int(b[3]) - 1
}
