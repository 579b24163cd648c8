package discovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/streams"
)

// Bounds of answering.
const (
	// maxAnswers bounds the answers under way: a network that starts at once
	// asks its hub at once.
	maxAnswers = 64
	// answerTime bounds one of them.
	answerTime = 5 * time.Second
	// askEvery and askBurst are what one peer may ask. Honest ones ask once
	// when they join, and every few seconds at most.
	askEvery = time.Second
	askBurst = 8 * time.Second
	// maxAskers bounds the peers whose use is remembered.
	maxAskers = 2048
	// answerMemory is what an answer reserves, in bytes.
	answerMemory = 2 * maxAnswer
)

var (
	errBusy       = errors.New("it asks too much")
	errOtherTopic = errors.New("it is on another topic")
)

// answers is what is remembered of those who ask.
type answers struct {
	mu     sync.Mutex
	active int                // guarded by mu
	askers map[peer.ID]*asker // guarded by mu
}

type asker struct {
	use      bucket
	instance [8]byte
	conn     network.Conn
}

func newAnswers() *answers { return &answers{askers: make(map[peer.ID]*asker)} }

// enter asks to answer a peer; if it may, the caller must leave.
func (a *answers) enter(id peer.ID, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.askers[id]
	if k == nil {
		if len(a.askers) >= maxAskers {
			for other := range a.askers { // any: who is forgotten starts anew
				delete(a.askers, other)
				break
			}
		}
		k = &asker{use: bucket{every: askEvery, burst: askBurst}}
		a.askers[id] = k
	}
	if a.active >= maxAnswers || !k.use.has(now) {
		return false
	}
	k.use.take()
	a.active++
	return true
}

func (a *answers) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active--
}

// twin notes over which connection which instance of a peer asks, and reports
// whether another one is still connected.
func (a *answers) twin(id peer.ID, instance [8]byte, conn network.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.askers[id]
	if k == nil {
		return false
	}
	if k.conn != nil && k.instance != instance && k.conn.ID() != conn.ID() && !k.conn.IsClosed() {
		return true
	}
	k.instance, k.conn = instance, conn
	return false
}

// handle answers a peer. It runs on a goroutine of the host's.
func (f *Finder) handle(s network.Stream) {
	id := s.Conn().RemotePeer()
	if !f.join() {
		_ = s.Reset()
		return
	}
	defer f.work.Done()
	err := errBusy
	if f.answers.enter(id, time.Now()) {
		defer f.answers.leave()
		ctx, cancel := context.WithTimeout(f.stopped, answerTime)
		defer cancel()
		err = f.terms().Use(ctx, s, func() error { return f.answer(s) })
	} else {
		_ = s.Reset()
	}
	f.metrics.answered.WithLabelValues(outcome(err)).Inc()
	if err != nil {
		f.cfg.Logger.Debug("answering who asks for peers", "peer", id, "err", err)
	}
}

func (f *Finder) answer(s network.Stream) error {
	q, err := readRequest(s)
	if err != nil {
		return err
	}
	if q.topic != topicTag(f.cfg.Topic) {
		return errOtherTopic
	}
	id := s.Conn().RemotePeer()
	a := answer{
		records: f.sample(id, endOf([]network.Conn{s.Conn()}), min(int(q.most), maxRecords)),
		twin:    f.answers.twin(id, q.instance, s.Conn()),
	}
	b := a.encode()
	if _, err := s.Write(b); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	f.metrics.bytes.Add(float64(requestSize + len(b)))
	return nil
}

// sample draws up to n members of the topic to tell a peer of.
func (f *Finder) sample(asker peer.ID, to end, n int) []record {
	members := f.cfg.Peers()
	records := make([]record, 0, n)
	for _, i := range rand.Perm(len(members)) {
		if len(records) == n {
			break
		}
		id := members[i]
		if id == asker || !f.speaks(id) || !isEd25519(id) {
			continue
		}
		conns := f.cfg.Host.Network().ConnsToPeer(id)
		if addrs := tellable(addrsOf(f.cfg.Host, id, conns), endOf(conns), to); len(addrs) > 0 {
			records = append(records, record{id, addrs})
		}
	}
	return records
}

// terms are those of the protocol's streams.
func (f *Finder) terms() streams.Terms {
	return streams.Terms{Service: service, Memory: answerMemory, Logger: f.cfg.Logger}
}
