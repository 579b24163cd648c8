package discovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"p2ping/node/streams"
)

// Bounds of answering.
const (
	// maxAnswers bounds the answers under way: a network that starts at once
	// asks its hub at once.
	maxAnswers = 64
	// answerTime bounds one of them.
	answerTime = 5 * time.Second
	// askRate is how many questions a second one peer may ask, askBurst how many
	// at once. Honest ones ask once when they join, and every few seconds at most.
	askRate  = 1
	askBurst = 8
	// maxAskers bounds the peers whose use is remembered.
	maxAskers = 2048
	// answerMemory is what an answer reserves, in bytes.
	answerMemory = 2 * maxAnswer
)

var (
	errBusy       = errors.New("it asks too much")
	errOtherTopic = errors.New("it is on another topic")
)

// askers remembers those who ask.
type askers struct {
	mu   sync.Mutex
	each map[peer.ID]*asker // guarded by mu
}

type asker struct {
	use  *rate.Limiter
	seen []sighting // at most maxSeen
}

// maxSeen bounds the instances of one peer that are remembered: with two, each of
// them is told of the other.
const maxSeen = 2

// sighting is the connection over which an instance of a peer asked.
type sighting struct {
	instance [8]byte
	conn     network.Conn
}

func newAskers() *askers { return &askers{each: make(map[peer.ID]*asker)} }

// admit reports whether a peer may ask now, and counts it if so.
func (a *askers) admit(id peer.ID, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.each[id]
	if k == nil {
		if len(a.each) >= maxAskers {
			for other := range a.each { // any: who is forgotten starts anew
				delete(a.each, other)
				break
			}
		}
		k = &asker{use: rate.NewLimiter(askRate, askBurst)}
		a.each[id] = k
	}
	return k.use.AllowN(now, 1)
}

// twin notes over which connection which instance of a peer asks, and reports
// whether another one is still connected.
func (a *askers) twin(id peer.ID, instance [8]byte, conn network.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.each[id]
	if k == nil {
		return false
	}
	k.seen = slices.DeleteFunc(k.seen, func(s sighting) bool {
		return s.instance == instance || s.conn.ID() == conn.ID() || s.conn.IsClosed()
	})
	others := len(k.seen) > 0
	if len(k.seen) < maxSeen {
		k.seen = append(k.seen, sighting{instance, conn})
	}
	return others
}

// handle answers a peer. It runs on a goroutine of the host's.
func (f *Finder) handle(s network.Stream) {
	id := s.Conn().RemotePeer()
	if !f.work.Begin() {
		_ = s.Reset()
		return
	}
	defer f.work.End()
	err := f.serve(s, id, f.cfg.Member(id))
	f.metrics.answered.WithLabelValues(outcome(err)).Inc()
	if err != nil {
		_ = s.Reset()
		f.cfg.Logger.Debug("answering who asks for peers", "peer", id, "err", err)
	}
}

func (f *Finder) serve(s network.Stream, id peer.ID, member bool) error {
	if !f.places.Take(id, member) {
		return errBusy
	}
	defer f.places.Leave(id, member)
	if !f.askers.admit(id, time.Now()) {
		return errBusy
	}
	ctx, cancel := context.WithTimeout(f.work.Context(), answerTime)
	defer cancel()
	return f.terms().Use(ctx, s, func() error { return f.answer(s) })
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
		twin:    f.askers.twin(id, q.instance, s.Conn()),
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
