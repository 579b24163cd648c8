package node

import (
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Where a message can be lost on the fast path: the label values of
// p2ping_gossip_lost_total. Every one of them starts a catch-up.
const (
	lostOutbound = "outbound_queue" // a peer's outbound queue was full
	lostValidate = "validate_queue" // our validation queue was full
	lostInbox    = "inbox"          // the disk did not keep up
	lostDisk     = "disk"           // the disk refused
	lostPanic    = "panic"          // the validator panicked
)

// tracer sees what pubsub does, and above all what it drops: that is visible
// nowhere else. Its methods run on pubsub's goroutines and must not block.
type tracer struct {
	topic   string
	metrics *metrics
	// lost is called for each message that was dropped, with the peer that
	// misses it, or "" when it is this node.
	lost func(where string, missing peer.ID)
	// streamClosed is called when the stream that carries our messages to a
	// peer ended, which may leave it deaf to us.
	streamClosed func(peer.ID)

	mu   sync.Mutex
	mesh map[peer.ID]struct{}
}

var _ pubsub.RawTracer = (*tracer)(nil)

func (t *tracer) inMesh(id peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.mesh[id]
	return ok
}

func (t *tracer) meshSize() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mesh)
}

func (t *tracer) Graft(id peer.ID, topic string) {
	if topic != t.topic {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mesh[id] = struct{}{}
}

func (t *tracer) Prune(id peer.ID, topic string) {
	if topic != t.topic {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mesh, id)
}

func (t *tracer) OnClosedOutboundStream(id peer.ID) {
	t.mu.Lock()
	delete(t.mesh, id)
	t.mu.Unlock()
	t.streamClosed(id)
}

func (t *tracer) RejectMessage(msg *pubsub.Message, reason string) {
	switch reason {
	case pubsub.RejectValidationQueueFull, pubsub.RejectValidationThrottled:
		t.lost(lostValidate, "")
	case pubsub.RejectValidationIgnored:
		// The validator counts what it ignores, and knows why.
	case pubsub.RejectSelfOrigin:
		// Our own entry came back by a longer way.
	default:
		if msg.GetTopic() == t.topic {
			t.metrics.rejected.WithLabelValues(rejectReason(reason)).Inc()
		}
	}
}

// rejectReason maps pubsub's reasons to a closed set of label values.
func rejectReason(reason string) string {
	switch reason {
	case pubsub.RejectInvalidSignature, pubsub.RejectMissingSignature, pubsub.RejectUnexpectedSignature:
		return "signature"
	case pubsub.RejectValidationFailed:
		return "invalid"
	}
	return "other"
}

func (t *tracer) DropRPC(rpc *pubsub.RPC, id peer.ID) {
	for range rpc.GetPublish() {
		t.lost(lostOutbound, id)
	}
}

// UndeliverableMessage can't happen, as there is no subscription to overflow;
// should there ever be one, what it loses is counted like any other loss.
func (t *tracer) UndeliverableMessage(*pubsub.Message) { t.lost(lostInbox, "") }

func (t *tracer) DuplicateMessage(*pubsub.Message) { t.metrics.duplicates.Inc() }

// The rest of the interface is of no interest here.

func (t *tracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (t *tracer) Join(string)                              {}
func (t *tracer) Leave(string)                             {}
func (t *tracer) ValidateMessage(*pubsub.Message)          {}
func (t *tracer) DeliverMessage(*pubsub.Message)           {}
func (t *tracer) ThrottlePeer(peer.ID)                     {}
func (t *tracer) RecvRPC(*pubsub.RPC)                      {}
func (t *tracer) SendRPC(*pubsub.RPC, peer.ID)             {}
