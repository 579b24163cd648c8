package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"p2ping/node/discovery"
	"p2ping/node/streams"
)

// Bounds of answering.
const (
	// maxAnswers bounds the answers under way.
	maxAnswers = 64
	// answerTime bounds one of them.
	answerTime = 5 * time.Second
	// askRate is how many questions a second one peer may ask; askBurst is what a
	// member may at once, strangeBurst what another may: a crawl asks once.
	askRate      = 1
	askBurst     = 8
	strangeBurst = 2
	// strangersRate and strangersBurst are what all who are no members may ask
	// together, as a peer ID costs nothing: a hundred crawls begin at once, then
	// 32 a second. An answer takes some 0.3 ms of one core.
	strangersRate  = 32
	strangersBurst = 128
	// maxAskers bounds the peers whose use is remembered. One that is forgotten
	// starts anew.
	maxAskers = 2048
	// streamMemory is what a stream reserves on either side, in bytes: an answer
	// as read, and what becomes of it.
	streamMemory = 2 * maxAnswer
)

var (
	errBusy       = errors.New("it asks too much")
	errOtherTopic = errors.New("it is on another topic")
)

// askers remembers what those who ask have used.
type askers struct {
	mu        sync.Mutex
	strangers *rate.Limiter
	each      map[peer.ID]*rate.Limiter // guarded by mu
}

func newAskers() *askers {
	return &askers{strangers: rate.NewLimiter(strangersRate, strangersBurst), each: make(map[peer.ID]*rate.Limiter)}
}

// admit reports whether a peer may ask now, and counts it if so.
func (a *askers) admit(id peer.ID, member bool, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	use := a.each[id]
	if use == nil {
		if len(a.each) >= maxAskers {
			for other := range a.each { // any
				delete(a.each, other)
				break
			}
		}
		use = rate.NewLimiter(askRate, askBurst)
		a.each[id] = use
	}
	if !member && (use.TokensAt(now) < askBurst-strangeBurst+1 || !a.strangers.AllowN(now, 1)) {
		return false
	}
	return use.AllowN(now, 1)
}

// handle answers a peer. It runs on a goroutine of the host's.
func (m *Mapper) handle(s network.Stream) {
	if !m.work.Begin() {
		_ = s.Reset()
		return
	}
	defer m.work.End()
	id := s.Conn().RemotePeer()
	if err := m.serve(s, id, m.cfg.Member(id)); err != nil {
		_ = s.Reset()
		m.cfg.Logger.Debug("answering who asks for a status", "peer", id, "err", err)
	}
}

func (m *Mapper) serve(s network.Stream, id peer.ID, member bool) error {
	if !m.places.Take(id, member) {
		return errBusy
	}
	defer m.places.Leave(id, member)
	if !m.askers.admit(id, member, time.Now()) {
		return errBusy
	}
	ctx, cancel := context.WithTimeout(m.work.Context(), answerTime)
	defer cancel()
	return m.terms().Use(ctx, s, func() error { return m.answer(s) })
}

func (m *Mapper) answer(s network.Stream) error {
	var tag [tagSize]byte
	if _, err := io.ReadFull(s, tag[:]); err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	if tag != topicTag(m.cfg.Topic) {
		return errOtherTopic
	}
	if _, err := s.Write(m.tell(s.Conn()).encode()); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}

// tell returns the node's report for the peer that to leads to, within the
// bounds of an answer.
func (m *Mapper) tell(to network.Conn) Report {
	r := m.cfg.Report()
	r.TopicPeers = len(r.Peers)
	r.Peers = r.Peers[:min(len(r.Peers), MaxPeers)]
	for i := range r.Peers {
		p := &r.Peers[i]
		p.RTT = min(p.RTT, maxRTT)
		if p.Silent = silent(m.cfg.Host, p.ID); !p.Silent {
			addrs := discovery.Tellable(m.cfg.Host, p.ID, to)
			p.Addrs = addrs[:min(len(addrs), maxAddrs)]
		}
	}
	if len(r.Agent) > maxAgent {
		r.Agent = "" // rather than cut in the middle of a letter
	}
	return r
}

// silent reports whether a peer that h is connected to is known to answer
// nobody. Until it has said what it speaks, that is not known.
func silent(h host.Host, id peer.ID) bool {
	spoken, err := h.Peerstore().GetProtocols(id)
	return err == nil && len(spoken) > 0 && !slices.Contains(spoken, Protocol)
}

// terms are those of the protocol's streams.
func (m *Mapper) terms() streams.Terms {
	return streams.Terms{Service: service, Memory: streamMemory, Logger: m.cfg.Logger}
}
