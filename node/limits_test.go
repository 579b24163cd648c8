package node

import (
	"fmt"
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"

	"p2ping/node/catchup"
	"p2ping/node/discovery"
	"p2ping/node/status"
)

// visitor is a peer that is connected by TCP, as the resource manager sees it.
type visitor struct {
	limits network.ResourceManager
	conn   network.ConnManagementScope
	id     peer.ID
}

// visit connects the i-th peer, from an address of its own.
func visit(t *testing.T, limits network.ResourceManager, i int) visitor {
	t.Helper()
	conn, err := limits.OpenConnection(network.DirInbound, false, ma.StringCast(fmt.Sprintf("/ip4/198.%d.%d.7/tcp/1", i/256, i%256)))
	if err != nil {
		t.Fatalf("connection %d: %v", i, err)
	}
	id, err := peer.IDFromPublicKey(newKey(t).GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetPeer(id); err != nil {
		t.Fatalf("connection %d: %v", i, err)
	}
	return visitor{limits, conn, id}
}

// begin has the peer begin a stream, as far as its window: that the whole
// connection is closed where there is no memory for it is yamux's doing.
func (v visitor) begin() (end func(), err error) {
	window, err := v.conn.PeerScope().BeginSpan()
	if err != nil {
		return nil, err
	}
	return window.Done, window.ReserveMemory(streamWindow, network.ReservationPriorityAlways)
}

// open has the peer open a stream of a protocol, or of none yet.
func (v visitor) open(p protocol.ID) error {
	s, err := v.limits.OpenStream(v.id, network.DirInbound)
	if err != nil {
		return err
	}
	if p != "" {
		if err := s.SetProtocol(p); err != nil {
			s.Done()
			return err
		}
	}
	_, err = v.begin()
	return err
}

// TestLimitsHoldAFullHouse connects all the peers there is room for. Each has two
// streams of pubsub's, and opens another.
func TestLimitsHoldAFullHouse(t *testing.T) {
	limits, err := newLimits(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer limits.Close()
	for i := range maxConnsInbound {
		v := visit(t, limits, i)
		for j := range 3 { // and one to spare
			if _, err := v.begin(); err != nil {
				t.Fatalf("stream %d of peer %d of %d: %v", j, i, maxConnsInbound, err)
			}
		}
	}
}

// TestLimitsLeaveRoomForTheRest has some peers hold all the streams they get, of
// every protocol on which one can keep a node waiting and of none, beside as many
// honest ones as a node keeps. To these it must not do any harm.
func TestLimitsLeaveRoomForTheRest(t *testing.T) {
	limits, err := newLimits(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer limits.Close()
	const greedy = maxConnsInbound - connsHigh
	honest := make([]visitor, connsHigh)
	for i := range honest {
		honest[i] = visit(t, limits, i)
		if err := honest[i].open(pubsub.GossipSubID_v12); err != nil {
			t.Fatal(err)
		}
		if _, err := honest[i].begin(); err != nil { // ours to it
			t.Fatal(err)
		}
	}
	hostile := make([]visitor, greedy)
	for i := range hostile {
		hostile[i] = visit(t, limits, connsHigh+i)
		if err := hostile[i].open(pubsub.GossipSubID_v12); err != nil { // which resets a second one itself
			t.Fatal(err)
		}
	}
	held := 0
	for _, p := range []protocol.ID{
		receiptProtocol, catchup.Protocol, discovery.Protocol, status.Protocol, identify.IDPush, ping.ID,
		circuit.ProtoIDv2Stop, "",
	} {
		for _, v := range hostile {
			for v.open(p) == nil {
				held++
			}
		}
	}
	t.Logf("%d peers hold %d streams", greedy, held)
	for i, v := range honest {
		end, err := v.begin()
		if err != nil {
			t.Fatalf("honest peer %d of %d loses its connection: %v", i, connsHigh, err)
		}
		end()
	}
}
