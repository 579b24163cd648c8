package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Published is what became of one ping: it is in the ledger and on its way.
type Published struct {
	// Entry and Index say which ping of which entry it became.
	Entry entry.ID
	Index int
	Text  string
	// Author is this node.
	Author peer.ID
	// SentAt is the time it was handed in, in UTC, to the microsecond.
	SentAt time.Time
	// TopicPeers is how many peers on the topic it was sent to at once. Those
	// that come later get it by catch-up.
	TopicPeers int
	// Cursor is its entry's place in the ledger's order of arrival.
	Cursor uint64

	key entry.Key // for receipts
}

// Publish publishes one text, 1 to entry.MaxText bytes of UTF-8, and returns
// when it is synced to disk and handed to GossipSub. With no peer on the topic
// it is stored all the same, and sent when one joins.
//
// Errors: one that wraps entry.ErrInvalid when the text is at fault,
// ledger.ErrFull when the disk is full, ErrBusy, ErrStopped, and the cause of
// ctx, which says whether the ping may have been published.
func (n *Node) Publish(ctx context.Context, text string) (Published, error) {
	published, err := n.PublishAll(ctx, []entry.Ping{{Text: text}})
	if err != nil {
		return Published{}, err
	}
	return published[0], nil
}

// PublishAll publishes pings in their order, as Publish does, and returns those
// that were published, which come first, and why the others were not. A ping
// whose SentAt is 0 gets the time of the call. One that no entry can hold
// fails them all, before anything is published.
func (n *Node) PublishAll(ctx context.Context, pings []entry.Ping) ([]Published, error) {
	if err := n.ledger.Writable(); err != nil {
		return nil, err
	}
	now := n.now().UnixMicro()
	pings = slices.Clone(pings)
	for i := range pings {
		pings[i].SentAt = cmp.Or(pings[i].SentAt, now)
	}
	return n.batcher.submit(ctx, pings)
}

// publishEntry makes one entry of pings. Gossip goes first, as it need not
// wait for the disk; the callers do.
func (n *Node) publishEntry(ctx context.Context, pings []entry.Ping) ([]Published, error) {
	data, err := entry.EncodeData(pings)
	if err != nil {
		return nil, err
	}
	e, peers, err := n.gossip.publish(ctx, data)
	if err != nil {
		return nil, err
	}
	cursor, err := n.storeOwn(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("storing the ping: %w", err)
	}
	n.metrics.published.Add(float64(len(pings)))
	published := make([]Published, len(pings))
	for i, p := range pings {
		published[i] = Published{
			Entry:      e.ID,
			Index:      i,
			Text:       p.Text,
			Author:     e.Author,
			SentAt:     p.Time(),
			TopicPeers: peers,
			Cursor:     cursor,
			key:        e.Key(),
		}
	}
	return published, nil
}

// storeOwn stores an entry of our own and returns its cursor. A peer that got it
// by gossip may have brought it back by catch-up already.
func (n *Node) storeOwn(ctx context.Context, e *entry.Entry) (cursor uint64, err error) {
	records, err := n.ledger.Append(ctx, ledger.Own, e)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: peers may have received it", err)
	case len(records) > 0:
		n.metrics.stored.WithLabelValues(ledger.Own.String()).Inc()
		return records[0].Cursor, nil
	}
	r, err := n.ledger.Get(e.Key())
	if errors.Is(err, ledger.ErrNotFound) {
		err = errors.New("it is older than what the ledger keeps: check this machine's clock and --retention")
	}
	return r.Cursor, err
}

// store moves what gossip delivered into the ledger until ctx ends. All that
// arrived during one commit goes into the next.
func (n *Node) store(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-n.inbox.wake:
		}
		// What was accepted is stored even when ctx has ended.
		n.storeEntries(context.WithoutCancel(ctx), n.inbox.take())
	}
}

func (n *Node) storeEntries(ctx context.Context, entries []*entry.Entry) {
	if len(entries) == 0 {
		return
	}
	records, err := n.ledger.Append(ctx, ledger.Gossip, entries...)
	n.metrics.stored.WithLabelValues(ledger.Gossip.String()).Add(float64(len(records)))
	if err == nil {
		return
	}
	// The entries are lost to this node until a catch-up brings them, which is
	// also how it recovers once there is room again.
	n.logger.Error("storing entries", "entries", len(entries), "err", err)
	for range entries {
		n.lost(lostDisk, "")
	}
}
