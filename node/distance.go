package node

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The shape of the mesh. A message reaches most nodes over some links of its
// mesh, and each node gets about one copy of it less than it has links.
const (
	// meshNear mesh peers are wanted for being near, and meshDrawn by lot.
	meshNear  = 4
	meshDrawn = 3
	// meshDegree is GossipSub's D, what a full mesh is cut down to, and Dscore,
	// how many of these the score decides about: all.
	meshDegree = meshNear + meshDrawn
	// meshLow is Dlo, below which peers are taken at random.
	meshLow = 6
	// meshHigh is Dhi, where a mesh is full. Networks of up to that many nodes
	// have everyone in the mesh. With GossipSub's own, 12, others' wishes would
	// make meshes larger by one link.
	meshHigh = 10
	meshOut  = 2 // Dout, GossipSub's own

	// graftTicks is how many heartbeats of a second pass until GossipSub asks up
	// to graftPeers of the wanted peers into the mesh.
	graftTicks = 5
	graftPeers = 3
)

// Scores that a peer gets from [distance]. None is negative: to be far is no
// offence. Nor is any 0: of a peer that leaves, GossipSub remembers the score
// unless it is positive, so that only misbehaviour is remembered.
const (
	scorePlain   = 0.1
	scoreHeld    = 0.5  // wanted, and in the mesh
	scoreGraft   = 0.75 // a mesh whose median is below this may be improved: any
	scoreMissing = 1.0  // wanted, and not in the mesh
)

// How long a peer is wanted that doesn't come into the mesh.
const (
	chooseTick = time.Second
	// graftPatience is two rounds of grafting and a bit: by then a peer was asked,
	// and has declined or cut the link again, having enough that it likes better.
	graftPatience = 13 * time.Second
	// firstRest is how long it is not wanted then, and another in its place;
	// twice as long each time after that, up to maxRest. It is a little more than
	// GossipSub's backoff: where meshes fill up, near peers cut each other off
	// before anybody has measured anything, and can't be asked for a minute.
	firstRest = 70 * time.Second
	maxRest   = 2 * time.Hour
)

// A peer that is not in the mesh must be nearer than one that is by a quarter
// and nearSlack of round trip time to take its place.
const (
	nearRatio = 1.25
	nearSlack = 2 * time.Millisecond
)

type distanceConfig struct {
	Host host.Host
	// Members lists the peers on the topic.
	Members func() []peer.ID
	// RTT is the measured round trip time to a peer; 0 if there is none.
	RTT    func(peer.ID) time.Duration
	InMesh func(peer.ID) bool
}

// distance makes GossipSub's mesh know how far peers are. A message travels
// over mesh links, and GossipSub chooses those at random, which costs detours.
// Links to near peers take a message through a region at once, and a few drawn
// by lot take it to the next. (What a node publishes itself goes to all its
// peers anyway.)
//
// # How
//
// Every second it says which peers the mesh should be made of: the meshNear
// nearest, and meshDrawn others in an order drawn by lot, those first that this
// node dialled itself. GossipSub does the rest, by the score that it asks for:
// every graftTicks it grafts peers with a higher score than the median of the
// mesh, which are the wanted ones that are missing, and when the mesh is full
// it prunes those with the lowest, which are the unwanted. Others do the same
// about us, so a peer that is wanted may cut the link again; then it is let be
// for some time, and the next one is wanted. With fewer members than fill a
// mesh, everyone is in it, and this does nothing.
//
// The round trip times are the pinger's, each the shortest of the last few: a
// pong that waited in a queue moves nothing.
//
// # What an attacker gets
//
// A peer can delay its pongs and look far, which costs it its place. It can't
// hasten them: they carry 32 random bytes. So who wants to be near many must be
// near many, or have helpers who are. Such a group gets the meshNear of
// meshDegree places that a full mesh is cut down to. The lot is drawn with a
// secret of this process, among peers that it dialled itself where there are
// such: those who come in numbers don't change it, and nobody can make an
// identity that it falls on. Until the mesh is full anyone may graft us, as with
// GossipSub alone, so between two cuts a group can have all meshHigh places but
// meshDrawn. Gossip of what the mesh has brought (IHAVE) goes to random peers
// outside of it, and catch-up asks random peers, wherever they are.
//
// # What holds the network together
//
// Near links alone make islands of regions. The lot falls on peers wherever they
// are, so it makes of all nodes one random graph with meshDrawn links from each
// node: such a graph is connected from two on, but for odds that vanish with
// its size.
type distance struct {
	distanceConfig
	seed maphash.Seed // of the lot

	// wanted is replaced and never changed: GossipSub reads it for every packet.
	wanted atomic.Pointer[wanted]

	// wishes are what became of wanting a peer. Owned by run.
	wishes map[peer.ID]*wish
}

// wanted is what the mesh should be made of.
type wanted struct {
	scores      map[peer.ID]float64
	near, drawn int // of those in the mesh
}

// wish is a peer that is wanted, or that rests from being wanted.
type wish struct {
	missing time.Time // since when it is not in the mesh; zero: it is, or it rests
	held    time.Time // since when it is; zero: it isn't
	until   time.Time // the end of its rest
	rest    time.Duration
}

// candidate is a peer that could be wanted.
type candidate struct {
	id       peer.ID
	rtt      time.Duration // 0: not measured yet
	inMesh   bool
	outbound bool
	lot      uint64
}

// wireDistance makes the part that knows which peers the mesh should be made
// of, and returns what GossipSub asks of it; nil where that is left to chance.
func (n *Node) wireDistance(cfg Config) func(peer.ID) float64 {
	if cfg.RandomMesh {
		return nil
	}
	n.distance = newDistance(distanceConfig{
		Host:    n.host,
		Members: n.topicPeers,
		RTT:     n.pinger.rtt,
		InMesh:  n.tracer.inMesh,
	})
	return n.distance.score
}

func newDistance(cfg distanceConfig) *distance {
	d := &distance{distanceConfig: cfg, seed: maphash.MakeSeed(), wishes: make(map[peer.ID]*wish)}
	d.wanted.Store(&wanted{})
	return d
}

// score is what GossipSub is told of a peer. It never blocks.
func (d *distance) score(id peer.ID) float64 {
	if s, ok := d.wanted.Load().scores[id]; ok {
		return s
	}
	return scorePlain
}

// run chooses until ctx ends. It is called once.
func (d *distance) run(ctx context.Context) {
	ticker := time.NewTicker(chooseTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			d.wanted.Store(d.choose(now))
		}
	}
}

// choose says which members are wanted from now on.
func (d *distance) choose(now time.Time) *wanted {
	members := d.Members()
	if len(members) < meshHigh {
		clear(d.wishes)
		return &wanted{}
	}
	near, drawn := pick(d.candidates(members, now))
	chosen := &wanted{scores: make(map[peer.ID]float64, meshDegree)}
	wishes := make(map[peer.ID]*wish, len(d.wishes))
	note := func(picked []candidate, held *int) {
		for _, c := range picked {
			w := cmp.Or(d.wishes[c.id], &wish{})
			wishes[c.id] = w
			switch {
			case c.inMesh:
				*held++
				chosen.scores[c.id] = scoreHeld
				w.come(now)
			case w.wait(now):
				chosen.scores[c.id] = scoreMissing
			}
		}
	}
	note(near, &chosen.near)
	note(drawn, &chosen.drawn)
	// What is forgotten of the others is that they were wanted; not that they rest.
	for _, id := range members {
		if w := d.wishes[id]; w != nil && wishes[id] == nil && w.rest > 0 {
			w.missing, w.held = time.Time{}, time.Time{}
			wishes[id] = w
		}
	}
	d.wishes = wishes
	return chosen
}

// candidates are the members that don't rest.
func (d *distance) candidates(members []peer.ID, now time.Time) []candidate {
	candidates := make([]candidate, 0, len(members))
	for _, id := range members {
		if w := d.wishes[id]; w != nil && now.Before(w.until) {
			continue
		}
		candidates = append(candidates, candidate{
			id:       id,
			rtt:      d.RTT(id),
			inMesh:   d.InMesh(id),
			outbound: dialled(d.Host, id),
			lot:      maphash.Comparable(d.seed, id),
		})
	}
	return candidates
}

// pick chooses the nearest candidates, and others by lot.
func pick(candidates []candidate) (near, drawn []candidate) {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.farness(), b.farness()), cmp.Compare(a.lot, b.lot))
	})
	measured := 0
	for measured < min(meshNear, len(candidates)) && candidates[measured].rtt > 0 {
		measured++
	}
	near, rest := candidates[:measured], candidates[measured:]
	slices.SortFunc(rest, func(a, b candidate) int {
		if a.outbound != b.outbound {
			if a.outbound {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.lot, b.lot)
	})
	return near, rest[:min(meshDrawn, len(rest))]
}

// farness is what candidates are compared by.
func (c candidate) farness() time.Duration {
	switch {
	case c.rtt <= 0:
		return math.MaxInt64
	case c.inMesh:
		return c.rtt
	}
	return time.Duration(nearRatio*float64(c.rtt)) + nearSlack
}

// come notes that a wanted peer is in the mesh.
func (w *wish) come(now time.Time) {
	w.missing = time.Time{}
	switch {
	case w.held.IsZero():
		w.held = now
	case now.Sub(w.held) >= firstRest:
		w.rest = 0
	}
}

// wait notes that a wanted peer is not in the mesh, and reports whether to
// go on wanting it. If not, it rests.
func (w *wish) wait(now time.Time) bool {
	w.held = time.Time{}
	if w.missing.IsZero() {
		w.missing = now
	}
	if now.Sub(w.missing) < graftPatience {
		return true
	}
	w.missing = time.Time{}
	w.rest = min(max(2*w.rest, firstRest), maxRest)
	// Up to half as long again, so that those who were refused together don't
	// come back together.
	w.until = now.Add(w.rest + rand.N(w.rest/2))
	return false
}

// dialled reports whether it was this node that connected to the peer.
func dialled(h host.Host, id peer.ID) bool {
	return slices.ContainsFunc(h.Network().ConnsToPeer(id), func(c network.Conn) bool {
		return c.Stat().Direction == network.DirOutbound && !c.Stat().Limited
	})
}
