package node

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
)

// validate is the topic's validator. Pubsub has verified the signature; this
// decides whether the entry is admitted, and if so hands it on to be stored:
// by way of the inbox, or back to publish when it is our own.
//
// It runs inline on pubsub's validation goroutines, so it never blocks, and as
// nothing in pubsub recovers from a panic in a validator, it does so itself.
func (n *Node) validate(_ context.Context, _ peer.ID, msg *pubsub.Message) (result pubsub.ValidationResult) {
	defer func() {
		if r := recover(); r != nil {
			n.logger.Error("validating a message panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			n.lost(lostPanic, "")
			result = pubsub.ValidationIgnore
		}
	}()
	e, err := entry.FromMessage(msg.Message)
	if err != nil {
		n.metrics.rejected.WithLabelValues("invalid").Inc()
		n.logger.Debug("rejected an entry", "from", msg.ReceivedFrom, "err", err)
		return pubsub.ValidationReject
	}
	// Never refuse our own: pubsub would make an error of publish of it, and
	// its clock and texts were checked before.
	if own, ok := msg.ValidatorData.(*ownMessage); ok && msg.ReceivedFrom == n.host.ID() {
		own.entry = e
		return pubsub.ValidationAccept
	}
	if err := n.admit(e); err != nil {
		n.metrics.ignored.WithLabelValues(ignoreReason(err)).Inc()
		return pubsub.ValidationIgnore
	}
	// Pubsub remembers for two minutes what it has seen; the ledger remembers
	// what is older, so that nobody can have the network repeat itself.
	if n.ledger.Has(e.Key()) {
		n.metrics.ignored.WithLabelValues("held").Inc()
		return pubsub.ValidationIgnore
	}
	if !n.inbox.put(e) {
		n.lost(lostInbox, "")
		return pubsub.ValidationIgnore
	}
	n.sources.add(e.Key(), msg.ReceivedFrom)
	return pubsub.ValidationAccept
}

// admit is the one rule by which an entry enters the ledger, whichever way it
// came.
func (n *Node) admit(e *entry.Entry) error {
	return e.Admit(n.topic, n.now(), n.ledger.State().Floor)
}

// ignoreReason maps the errors of admit to a closed set of label values.
func ignoreReason(err error) string {
	switch {
	case errors.Is(err, entry.ErrNotYet):
		return "not_yet"
	case errors.Is(err, entry.ErrBelowFloor):
		return "below_floor"
	}
	return "other"
}
