package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// Bounds of answering.
const (
	// maxAnswers bounds the answers under way.
	maxAnswers = 64
	// answerTime bounds one of them.
	answerTime = 5 * time.Second
	// askEvery and askBurst are what one peer may ask: once a second, and eight
	// times at once. Honest ones ask every two seconds at most.
	askEvery = time.Second
	askBurst = 8
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
	mu     sync.Mutex
	active int               // guarded by mu
	askers map[string]*asker // guarded by mu; by peer ID
}

// asker is one peer's use, a token bucket: full when it has not asked for long.
type asker struct {
	free float64
	at   time.Time
}

// enter asks to answer a peer; if it may, the caller must leave.
func (a *answers) enter(id string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active >= maxAnswers {
		return false
	}
	k := a.askers[id]
	if k == nil {
		if len(a.askers) >= maxAskers {
			for other := range a.askers { // any
				delete(a.askers, other)
				break
			}
		}
		k = &asker{free: askBurst, at: now}
		a.askers[id] = k
	}
	k.free = min(askBurst, k.free+max(0, now.Sub(k.at).Seconds()/askEvery.Seconds()))
	k.at = now
	if k.free < 1 {
		return false
	}
	k.free--
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
	if m.answers.enter(string(id), time.Now()) {
		defer m.answers.leave()
		ctx, cancel := context.WithTimeout(m.stopped, answerTime)
		defer cancel()
		err = m.use(ctx, s, func() error { return m.answer(s) })
	} else {
		_ = s.Reset()
	}
	if err != nil {
		m.cfg.Logger.Debug("answering who asks for a status", "peer", id, "err", err)
	}
}

func (m *Mapper) answer(s io.ReadWriter) error {
	var tag [tagSize]byte
	if _, err := io.ReadFull(s, tag[:]); err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	if tag != topicTag(m.cfg.Topic) {
		return errOtherTopic
	}
	if _, err := s.Write(m.tell().encode()); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}

// tell returns the node's report within the bounds of an answer.
func (m *Mapper) tell() Report {
	r := m.cfg.Report()
	r.TopicPeers = len(r.Peers)
	r.Peers = r.Peers[:min(len(r.Peers), MaxPeers)]
	for i := range r.Peers {
		r.Peers[i].RTT = min(r.Peers[i].RTT, maxRTT)
	}
	if len(r.Agent) > maxAgent {
		r.Agent = "" // rather than cut in the middle of a letter
	}
	return r
}

// use lets talk use a stream, under the resource manager's eyes and until ctx
// ends, and closes it, or resets it after an error or a panic.
func (m *Mapper) use(ctx context.Context, s network.Stream, talk func() error) (err error) {
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a panic in the status protocol: %v", r)
			m.cfg.Logger.Error("the status protocol panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
		if err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
	}()
	if err := s.Scope().SetService(service); err != nil {
		return fmt.Errorf("accounting for a stream: %w", err)
	}
	if err := s.Scope().ReserveMemory(streamMemory, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("reserving memory: %w", err)
	}
	defer s.Scope().ReleaseMemory(streamMemory)
	return talk()
}
