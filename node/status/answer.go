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

// answers bounds who is answered.
type answers struct {
	mu        sync.Mutex
	active    int                // guarded by mu
	strangers bucket             // guarded by mu
	askers    map[peer.ID]bucket // guarded by mu
}

// bucket is a token bucket. The zero value is full.
type bucket struct {
	used float64
	at   time.Time
}

// take takes a token from a bucket of burst tokens that gets rate in a second,
// if there is one.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	b.used = max(0, b.used-max(0, now.Sub(b.at).Seconds())*rate)
	b.at = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}

// enter asks to answer a peer; if it may, the caller must leave.
func (a *answers) enter(id peer.ID, member bool, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active >= maxAnswers {
		return false
	}
	burst := float64(askBurst)
	if !member {
		burst = strangeBurst
	}
	use, known := a.askers[id]
	if !known && len(a.askers) >= maxAskers {
		for other := range a.askers { // any
			delete(a.askers, other)
			break
		}
	}
	ok := use.take(now, askRate, burst)
	a.askers[id] = use
	if !ok || !member && !a.strangers.take(now, strangersRate, strangersBurst) {
		return false
	}
	a.active++
	return true
}

func (a *answers) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active--
}

// join enters a goroutine that Close waits for, unless Close was called.
func (m *Mapper) join() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.work.Add(1)
	return true
}

// handle answers a peer. It runs on a goroutine of the host's.
func (m *Mapper) handle(s network.Stream) {
	if !m.join() {
		_ = s.Reset()
		return
	}
	defer m.work.Done()
	id := s.Conn().RemotePeer()
	err := errBusy
	if m.answers.enter(id, m.cfg.Member(id), time.Now()) {
		defer m.answers.leave()
		ctx, cancel := context.WithTimeout(m.stopped, answerTime)
		defer cancel()
		err = m.terms().Use(ctx, s, func() error { return m.answer(s) })
	} else {
		_ = s.Reset()
	}
	if err != nil {
		m.cfg.Logger.Debug("answering who asks for a status", "peer", id, "err", err)
	}
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
