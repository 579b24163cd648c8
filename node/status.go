package node

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/catchup"
	"p2ping/node/ledger"
)

// Info says who a node is.
type Info struct {
	PeerID peer.ID
	// PublicKey is libp2p's protobuf encoding of the key.
	PublicKey []byte
	// Addresses are full multiaddrs, /p2p/ID included.
	Addresses []string
	Topic     string
	// Agent is the user agent that peers see.
	Agent     string
	Version   string
	StartedAt time.Time
	// Reached is from where peers have dialled the node since it runs.
	Reached []Reach
}

// Info returns who the node is and where it can be reached at this moment.
func (n *Node) Info() (Info, error) {
	key, err := crypto.MarshalPublicKey(n.host.Peerstore().PubKey(n.host.ID()))
	if err != nil {
		return Info{}, fmt.Errorf("encoding the public key: %w", err)
	}
	return Info{
		PeerID:    n.host.ID(),
		PublicKey: key,
		Addresses: OwnAddresses(n.host),
		Topic:     n.topic,
		Agent:     UserAgent(n.version),
		Version:   n.version,
		StartedAt: n.startedAt,
		Reached:   n.reached.list(),
	}, nil
}

// Readiness says whether a node can do its work.
type Readiness struct {
	Ready bool
	// Reasons say in words what is missing, or, when ready, what is unusual.
	Reasons []string
}

// Readiness reports not ready when the disk is full, or when bootstrap peers
// were named and no peer is on the topic. A node that was told of nobody is
// ready alone: others come to it.
func (n *Node) Readiness() Readiness {
	r := Readiness{Ready: true}
	if err := n.ledger.Writable(); err != nil {
		r.Ready = false
		r.Reasons = append(r.Reasons, err.Error())
	}
	if n.gossip.members.count() > 0 {
		return r
	}
	bootstrap := n.connector.state()
	if len(bootstrap) == 0 {
		r.Reasons = append(r.Reasons, "alone: no bootstrap peer was named, and no peer has connected yet")
		r.Reasons = append(r.Reasons, n.whyAlone()...)
		return r
	}
	r.Ready = false
	for _, b := range bootstrap {
		switch {
		case b.Connected:
			r.Reasons = append(r.Reasons, fmt.Sprintf("bootstrap peer %s is connected, but not on topic %q", b.Addr, n.topic))
		case b.LastError != "":
			r.Reasons = append(r.Reasons, fmt.Sprintf("bootstrap peer %s: %s", b.Addr, b.LastError))
		default:
			r.Reasons = append(r.Reasons, fmt.Sprintf("bootstrap peer %s: connecting", b.Addr))
		}
	}
	r.Reasons = append(r.Reasons, n.whyAlone()...)
	return r
}

// SyncState says what a node holds and how it compares with its peers.
type SyncState struct {
	// State counts what the ledger held when Digest was computed.
	ledger.State
	// Digest is the fingerprint of the whole ledger from its floor.
	Digest ledger.Digest
	// Peers is the outcome of the last comparison with each topic peer.
	Peers []catchup.PeerState
}

// Sync computes the ledger's digest and reports the last comparisons.
func (n *Node) Sync() (SyncState, error) {
	digest, state, err := n.ledger.Digest()
	if err != nil {
		return SyncState{}, err
	}
	return SyncState{State: state, Digest: digest, Peers: n.catchup.State()}, nil
}
