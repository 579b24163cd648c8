package nodetest

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// Role is how a node behaves.
type Role uint8

const (
	// Honest nodes are what they are.
	Honest Role = iota
	// Liar is a member that answers libp2p's ping protocol late, each time by up
	// to [lieBy] drawn at random, so that it looks far. To look near is beyond
	// it: an answer has the 32 random bytes of its question in it, and travels
	// on the connection, whose keys nobody else has.
	Liar
	// Swallower is a peer on the topic that passes nothing on. It is
	// [swallowerNear] from everybody, and has everyone it is connected to take
	// it into the mesh, if they will.
	Swallower
)

const (
	lieBy         = 300 * time.Millisecond
	swallowerNear = time.Millisecond
)

// rolesOf gives shares of count nodes a role: the same under the same seed.
func rolesOf(seed uint64, count int, liars, swallowers float64) []Role {
	roles := make([]Role, count)
	rng := rand.New(rand.NewPCG(seed, 5))
	for k, i := range rng.Perm(count) {
		switch share := float64(k) / float64(count); {
		case share < liars:
			roles[i] = Liar
		case share < liars+swallowers:
			roles[i] = Swallower
		}
	}
	return roles
}

// role is the node's, honest unless the network's options say otherwise.
func (d *Node) role() Role {
	if d.net.opts.Roles == nil {
		return Honest
	}
	return d.net.opts.Roles[d.Index]
}

// lie has a host answer pings late from now on.
func lie(ctx context.Context, h host.Host) {
	h.SetStreamHandler(ping.ID, func(s network.Stream) {
		defer context.AfterFunc(ctx, func() { _ = s.Reset() })() // it may be closed by then
		buf := make([]byte, ping.PingSize)
		for {
			if _, err := io.ReadFull(s, buf); err != nil {
				_ = s.Close() // whoever asked is gone
				return
			}
			select {
			case <-time.After(rand.N(lieBy)):
			case <-ctx.Done():
				return
			}
			if _, err := s.Write(buf); err != nil {
				return
			}
		}
	})
}

// swallow puts a host on a topic, of which it passes nothing on, until ctx ends.
func swallow(ctx context.Context, h host.Host, topic string) error {
	params := pubsub.DefaultGossipSubParams()
	params.D, params.Dlo, params.Dhi = 1000, 900, 2000 // whoever there is
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithGossipSubParams(params))
	if err != nil {
		return err
	}
	ignore := func(context.Context, peer.ID, *pubsub.Message) pubsub.ValidationResult {
		return pubsub.ValidationIgnore
	}
	if err := ps.RegisterTopicValidator(topic, ignore); err != nil {
		return err
	}
	t, err := ps.Join(topic)
	if err != nil {
		return err
	}
	_, err = t.Relay()
	return err
}

// meshes say how many peers the honest members have in their meshes, and which
// share of each of these are swallowers.
func (n *Network) meshes() (sizes, held []float64) {
	index := n.indices()
	for _, d := range n.Nodes {
		if d.Member() == nil {
			continue
		}
		size, bad := 0.0, 0.0
		for _, p := range d.Member().Peers() {
			if !p.InMesh {
				continue
			}
			size++
			if i, ok := index[p.PeerID]; ok && n.Nodes[i].role() == Swallower {
				bad++
			}
		}
		sizes, held = append(sizes, size), append(held, bad/max(1, size))
	}
	return sizes, held
}
