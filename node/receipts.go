package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"p2ping/node/entry"
	"p2ping/node/streams"
)

// receiptProtocol asks a peer to say when it has stored an entry. Only who
// wants a receipt asks, and asks only peers it is connected to, so that
// receipts cost nothing unless wanted, and then a few bytes a peer: no
// receipt is ever passed on, and none is signed, as the connection it comes
// by is authenticated already.
const receiptProtocol protocol.ID = "/p2ping/receipt/1.0.0"

// receiptService is the name under which the resource manager accounts for
// streams.
const receiptService = "p2ping.receipt"

const (
	// MaxReceipts bounds how many receipts one ping can wait for.
	MaxReceipts = 32
	// MaxReceiptWait bounds how long a peer is asked to wait.
	MaxReceiptWait = time.Minute
	// receiptSpare is how many peers more are asked than receipts are wanted,
	// as some are slow and some don't speak the protocol.
	receiptSpare = 8
	// maxReceiptWaits bounds the requests that wait here at one time, and
	// maxPeerReceiptWaits those of one peer. One costs a goroutine and a stream,
	// and now and then a look into the ledger.
	maxReceiptWaits     = 256
	maxPeerReceiptWaits = 64
	// receiptGrace is how long a peer may miss an entry that another asks
	// about before it goes and fetches it.
	receiptGrace = time.Second
	// receiptRequestLen is a key and a wait in milliseconds, 4 bytes big-endian.
	receiptRequestLen = entry.KeySize + 4
	// receiptIO bounds the time to send or read the few bytes of a request.
	receiptIO = 5 * time.Second
	// receiptMemory is what a stream reserves, in bytes: that of a goroutine.
	receiptMemory = 4 << 10
	// receiptPatience is how many times longer than it then rests a request has
	// waited, when the ledger changed and had not what it asks about. So a look
	// comes a sixteenth too late at most, and a request for what never comes
	// costs some 200 of them a minute, instead of one for each write.
	receiptPatience = 16
)

// The one byte that answers a request.
const (
	receiptNotStored = 0
	receiptStored    = 1
)

// Receipt says that a peer has stored an entry.
type Receipt struct {
	PeerID peer.ID
	// Latency is the time from the request, made as soon as the ping was
	// published and stored here, to the peer's answer.
	Latency time.Duration
}

// held is what receipts wants of a ledger.
type held interface {
	Has(entry.Key) bool
	// Changed returns a channel that is closed when something is added.
	Changed() <-chan struct{}
}

// receipts asks for receipts and gives them.
type receipts struct {
	host   host.Host
	ledger held
	logger *slog.Logger
	// missing is called for a peer that holds an entry which this node lacks.
	missing func(peer.ID)
	// member reports whether a peer is on the topic.
	member func(peer.ID) bool

	places *streams.Places
	work   *streams.Work
}

func newReceipts(h host.Host, l held, logger *slog.Logger, missing func(peer.ID), member func(peer.ID) bool) *receipts {
	r := &receipts{
		host: h, ledger: l, logger: logger, missing: missing, member: member,
		places: streams.NewPlaces(maxReceiptWaits, maxPeerReceiptWaits), work: streams.NewWork(),
	}
	h.SetStreamHandler(receiptProtocol, r.handle)
	return r
}

// close takes no more requests, ends those under way and waits for them.
func (r *receipts) close() {
	r.host.RemoveStreamHandler(receiptProtocol)
	r.work.Close()
}

// terms are those of the protocol's streams.
func (r *receipts) terms() streams.Terms {
	return streams.Terms{Service: receiptService, Memory: receiptMemory, Logger: r.logger}
}

// Receipts waits until want peers, MaxReceipts at most, have stored the ping,
// or until ctx ends, MaxReceiptWait at most, and returns who has, quickest
// first. Only topic peers that this node is connected to are asked, those that
// join meanwhile included.
func (n *Node) Receipts(ctx context.Context, p Published, want int) []Receipt {
	return n.receipts.ask(ctx, p.key, min(want, MaxReceipts), n.gossip.members)
}

func (r *receipts) ask(ctx context.Context, key entry.Key, want int, members *members) []Receipt {
	ctx, cancel := context.WithTimeout(ctx, MaxReceiptWait)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel() // first, so that those who were not waited for end at once

	start := time.Now()
	answers := make(chan answer)
	asked, failed := make(map[peer.ID]bool), make(map[peer.ID]bool)
	var got []Receipt
	for pending := 0; len(got) < want; {
		changed := members.changes()
		for id := range failed {
			if !members.has(id) { // it is asked again when it comes back
				delete(asked, id)
				delete(failed, id)
			}
		}
		for _, id := range r.nearest(members.list(), asked, want-len(got)+receiptSpare-pending) {
			asked[id] = true
			pending++
			asking.Go(func() {
				err := r.askOne(ctx, key, id)
				select {
				case answers <- answer{id: id, err: err}:
				case <-ctx.Done():
				}
			})
		}
		select {
		case a := <-answers:
			pending--
			if a.err == nil {
				got = append(got, Receipt{PeerID: a.id, Latency: time.Since(start)})
			} else {
				failed[a.id] = true
				r.logger.Debug("no receipt", "peer", a.id, "err", a.err)
			}
		case <-changed:
		case <-ctx.Done():
			return got
		}
	}
	return got
}

// answer is what came of asking one peer.
type answer struct {
	id  peer.ID
	err error
}

// nearest returns at most n peers that were not asked, by round-trip time.
func (r *receipts) nearest(peers []peer.ID, asked map[peer.ID]bool, n int) []peer.ID {
	peers = slices.DeleteFunc(peers, func(id peer.ID) bool { return asked[id] })
	slices.SortStableFunc(peers, func(a, b peer.ID) int { return cmp.Compare(r.rtt(a), r.rtt(b)) })
	return peers[:min(len(peers), max(n, 0))]
}

// rtt returns the measured round-trip time of a peer; unmeasured ones come last.
func (r *receipts) rtt(id peer.ID) time.Duration {
	if rtt := r.host.Peerstore().LatencyEWMA(id); rtt > 0 {
		return rtt
	}
	return time.Hour
}

// askOne returns nil when the peer says, before ctx ends, that it has stored the
// entry.
func (r *receipts) askOne(ctx context.Context, key entry.Key, id peer.ID) error {
	s, err := r.host.NewStream(network.WithNoDial(ctx, "receipt"), id, receiptProtocol)
	if err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	return r.terms().Use(ctx, s, func() error {
		wait := MaxReceiptWait
		if deadline, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(deadline))
		}
		request := key.Append(make([]byte, 0, receiptRequestLen))
		request = binary.BigEndian.AppendUint32(request, uint32(max(wait, 0).Milliseconds()))
		if _, err := s.Write(request); err != nil {
			return fmt.Errorf("asking for a receipt: %w", err)
		}
		var answer [1]byte
		if _, err := io.ReadFull(s, answer[:]); err != nil {
			return fmt.Errorf("waiting for a receipt: %w", err)
		}
		if answer[0] != receiptStored {
			return errors.New("the peer has not stored it")
		}
		return nil
	})
}

// handle answers one request: at once when the entry is held, else when it
// comes, and in the negative when the time that was asked for is over.
func (r *receipts) handle(s network.Stream) {
	if !r.work.Begin() {
		_ = s.Reset()
		return
	}
	defer r.work.End()
	id := s.Conn().RemotePeer()
	member := r.member(id)
	if !r.places.Take(id, member) {
		_ = s.Reset()
		return
	}
	defer r.places.Leave(id, member)
	ctx, cancel := context.WithTimeout(r.work.Context(), MaxReceiptWait+2*receiptIO)
	defer cancel()
	if err := r.terms().Use(ctx, s, func() error { return r.answer(ctx, s, id) }); err != nil {
		r.logger.Debug("answering for a receipt", "peer", id, "err", err)
	}
}

func (r *receipts) answer(ctx context.Context, s network.Stream, id peer.ID) error {
	if err := s.SetReadDeadline(time.Now().Add(receiptIO)); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	var request [receiptRequestLen]byte
	if _, err := io.ReadFull(s, request[:]); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	key, wait, err := decodeReceiptRequest(request[:])
	if err != nil {
		return err
	}
	answer := byte(receiptNotStored)
	if r.await(ctx, key, wait, id) {
		answer = receiptStored
	}
	if err := s.SetWriteDeadline(time.Now().Add(receiptIO)); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	if _, err := s.Write([]byte{answer}); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}

// decodeReceiptRequest reads a request of exactly receiptRequestLen bytes.
func decodeReceiptRequest(b []byte) (entry.Key, time.Duration, error) {
	if len(b) != receiptRequestLen {
		return entry.Key{}, 0, fmt.Errorf("a request of %d bytes, not %d", len(b), receiptRequestLen)
	}
	key, err := entry.DecodeKey(b[:entry.KeySize])
	if err != nil {
		return entry.Key{}, 0, err
	}
	wait := time.Duration(binary.BigEndian.Uint32(b[entry.KeySize:])) * time.Millisecond
	return key, min(wait, MaxReceiptWait), nil
}

// await reports whether the entry is stored within the time given, or before
// ctx ends.
func (r *receipts) await(ctx context.Context, key entry.Key, within time.Duration, asker peer.ID) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	start := time.Now()
	grace := time.NewTimer(receiptGrace)
	defer grace.Stop()
	for {
		changed := r.ledger.Changed()
		if r.ledger.Has(key) {
			return true
		}
		select {
		case <-changed:
			wait(ctx, time.Since(start)/receiptPatience)
		case <-grace.C:
			r.missing(asker)
		case <-ctx.Done():
			return false
		}
	}
}
