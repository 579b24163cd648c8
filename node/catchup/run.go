package catchup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/streams"
)

const (
	// maxOutbound bounds the sessions that we begin at once: a silent peer
	// holds one for as long as patience, and the others go on.
	maxOutbound = 4
	// stagger is how long one of them has to itself before the next begins:
	// time to find out that its peer brings thousands; see bulk.
	stagger = 250 * time.Millisecond
	// sessionMemory is what a session reserves, in bytes: questions, keys and
	// frames of two turns, entries that wait to be checked. Refusing one takes
	// its buffers only. All together stay below 64 MiB, which the resource
	// manager gives a service.
	sessionMemory = 4 << 20
	refusalMemory = 256 << 10
	// openPatience bounds the opening of a stream.
	openPatience = 5 * time.Second
)

// errUnsupported is returned for a peer that does not speak catch-up.
var errUnsupported = errors.New("the peer does not speak catch-up")

// Run begins sessions until ctx ends or Close is called; then it waits for
// them and returns nil. It is called once.
func (s *Syncer) Run(ctx context.Context) error {
	if !s.work.Begin() {
		return nil
	}
	defer s.work.End()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.work.Context(), cancel)()
	if s.cfg.Disabled {
		<-ctx.Done()
		return nil
	}
	r := &runner{Syncer: s, done: make(chan finished)}
	defer r.wait()
	r.run(ctx)
	return nil
}

// runner is what Run's goroutine owns.
type runner struct {
	*Syncer
	rhythm rhythm
	deck   deck
	queue  queue
	round  time.Time // when the next round is
	asked  time.Time // when the last one was
	active int       // sessions of ours under way
	begun  time.Time // when the last of them began
	done   chan finished
}

// finished is a session of ours that ended.
type finished struct {
	peer   peer.ID
	goOn   bool
	at     time.Time // when to go on
	differ bool
}

func (r *runner) run(ctx context.Context) {
	r.round = time.Now().Add(r.rhythm.interval(mathrand.Float64()))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		r.look(now)
		if !r.round.After(now) {
			r.ask(now)
		}
		r.begin(ctx, now)
		timer.Reset(r.next().Sub(now))
		var changed <-chan struct{}
		if r.rhythm.relaxed() {
			changed = r.cfg.Ledger.Changed()
			if r.cfg.Ledger.State().Last != r.rhythm.last {
				r.hurry(now)
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.kick:
		case <-changed:
			r.hurry(time.Now())
		case f := <-r.done:
			r.finish(f)
		}
	}
}

// look takes what was asked by others.
func (r *runner) look(now time.Time) {
	r.mu.Lock()
	asked := r.asks
	r.asks = asks{}
	r.mu.Unlock()
	if asked.soon {
		r.rhythm.disturb()
		if at := r.asked.Add(minSpacing); at.Before(r.round) {
			r.round = at
		}
	}
	for _, a := range asked.joined.waiting {
		r.rhythm.disturb()
		r.queue.add(a.peer, r.book.ready(a.peer, now))
	}
	r.tell(asked.news, now)
	if asked.differs || asked.soon || len(asked.joined.waiting) > 0 {
		r.hurry(now)
	}
}

// hurry ends a long interval: something changed.
func (r *runner) hurry(now time.Time) {
	r.rhythm.disturb()
	r.rhythm.last = r.cfg.Ledger.State().Last
	if at := now.Add(r.rhythm.interval(mathrand.Float64())); at.Before(r.round) {
		r.round = at
	}
}

// ask makes appointments for a round.
func (r *runner) ask(now time.Time) {
	n := r.rhythm.round(r.cfg.Ledger.State().Last)
	r.asked = now
	r.round = now.Add(r.rhythm.interval(mathrand.Float64()))
	var present []peer.ID
	for _, p := range r.cfg.Peers() {
		if !r.book.ready(p, now).After(now) {
			present = append(present, p)
		}
	}
	for _, p := range r.deck.draw(n, present) {
		r.queue.add(p, now)
	}
}

// begin begins the sessions that are due and have room.
func (r *runner) begin(ctx context.Context, now time.Time) {
	for r.room(now) {
		p, ok := r.queue.next(now)
		if !ok {
			return
		}
		if !r.gate.call(p) {
			r.queue.add(p, now.Add(minSpacing)) // it is in a session with us
			continue
		}
		r.book.begin(p, now)
		r.active++
		r.begun = now
		go func() {
			f := finished{peer: p}
			defer func() {
				r.gate.hangUp(p)
				r.done <- f
			}()
			f = r.call(ctx, p)
		}()
	}
}

// room reports whether one more session may begin.
func (r *runner) room(now time.Time) bool {
	return r.active == 0 || r.active < maxOutbound && now.Sub(r.begun) >= stagger
}

// next returns when there is something to do, at the earliest.
func (r *runner) next() time.Time {
	at, ok := r.queue.when()
	if free := r.begun.Add(stagger); r.active > 0 && at.Before(free) {
		at = free
	}
	if !ok || r.active == maxOutbound || r.round.Before(at) {
		return r.round
	}
	return at
}

func (r *runner) finish(f finished) {
	r.active--
	if f.differ {
		r.rhythm.disturb()
	}
	if f.goOn {
		r.queue.add(f.peer, f.at) // behind all who wait
	}
}

// wait waits for the sessions under way. Their context has ended.
func (r *runner) wait() {
	for r.active > 0 {
		r.finish(<-r.done)
	}
}

// call has one session with a peer.
func (s *Syncer) call(ctx context.Context, p peer.ID) (f finished) {
	f.peer = p
	start := time.Now()
	var o outcome
	err := s.open(ctx, p, func(stream network.Stream) error {
		session := newSession(s.cfg, s.takes() && s.bulk.open(p), stream, seasoning())
		session.met = func() { s.gate.met(p) }
		session.in.many = func() { s.bulk.brought(p) }
		err := session.initiate(ctx)
		o = session.outcome()
		return err
	})
	if ctx.Err() != nil {
		return f
	}
	r := s.record(p, roleInitiator, start, o, err)
	s.brought(p, o)
	f.differ = r != resultEqual && r != resultBusy && r != resultUnsupported
	f.at, f.goOn = s.book.goOn(p, time.Now(), o, r)
	return f
}

// open opens a stream to a peer that is connected and lets talk use it.
func (s *Syncer) open(ctx context.Context, p peer.ID, talk func(network.Stream) error) error {
	opening, cancel := context.WithTimeout(network.WithNoDial(ctx, "catch-up is with connected peers"), openPatience)
	defer cancel()
	stream, err := s.cfg.Host.NewStream(opening, p, Protocol)
	if err != nil {
		speaks, _ := s.cfg.Host.Peerstore().GetProtocols(p)
		if ours, _ := s.cfg.Host.Peerstore().SupportsProtocols(p, Protocol); len(speaks) > 0 && len(ours) == 0 {
			return errUnsupported
		}
		return fmt.Errorf("opening a stream: %w", err)
	}
	return s.use(ctx, stream, sessionMemory, talk)
}

// use lets talk use a stream, which may take so much memory, in bytes.
func (s *Syncer) use(ctx context.Context, on network.Stream, memory int, talk func(network.Stream) error) error {
	terms := streams.Terms{Service: service, Memory: memory, Logger: s.cfg.Logger}
	return terms.Use(ctx, on, func() error { return talk(on) })
}

// handle answers a session that a peer begins. It runs on a goroutine of the
// host's.
func (s *Syncer) handle(stream network.Stream) {
	p := stream.Conn().RemotePeer()
	start := time.Now()
	if s.book.shunned(p, start) || !s.work.Begin() {
		_ = stream.Reset()
		return
	}
	defer s.work.End()
	retry := s.gate.enter(p, start)
	if retry > 0 {
		s.refuse(stream, retry)
		return
	}
	var o outcome
	err := s.use(s.work.Context(), stream, sessionMemory, func(stream network.Stream) error {
		session := newSession(s.cfg, s.takes(), stream, seasoning())
		session.in.many = func() { s.bulk.brought(p) }
		session.mayTake = func(more int) bool { return s.bulk.offer(p, more) }
		err := session.respond(s.work.Context())
		o = session.outcome()
		return err
	})
	s.gate.leave(p, time.Now(), o.scanned, o.sent)
	if s.work.Context().Err() != nil {
		return
	}
	r := s.record(p, roleResponder, start, o, err)
	s.brought(p, o)
	if r != resultEqual {
		s.hurry()
	}
}

// refuse puts a peer off, if there is time for that.
func (s *Syncer) refuse(stream network.Stream, retry time.Duration) {
	if !s.gate.refuse() {
		_ = stream.Reset()
		return
	}
	defer s.gate.refused()
	s.metrics.sessions.WithLabelValues(string(roleResponder), string(resultBusy)).Inc()
	err := s.use(s.work.Context(), stream, refusalMemory, func(stream network.Stream) error {
		return newSession(s.cfg, false, stream, salt{}).refuse(retry)
	})
	if err != nil {
		s.cfg.Logger.Debug("refusing a catch-up session", "peer", stream.Conn().RemotePeer(), "err", err)
	}
}

// record enters how a session ended, and logs it.
func (s *Syncer) record(p peer.ID, as role, start time.Time, o outcome, err error) result {
	now := time.Now()
	r := s.book.note(p, now, s.cfg.Now(), o, err)
	s.metrics.observe(as, r, o, now.Sub(start))
	log := s.cfg.Logger.Debug
	if r == resultMisbehaved {
		log = s.cfg.Logger.Warn
	}
	log("catch-up session ended", "peer", p, "role", string(as), "result", string(r),
		"received", o.added, "sent", o.sent, "missing", o.missing, "extra", o.extra,
		"round_trips", o.turns, "bytes_in", o.bytesIn, "bytes_out", o.bytesOut, "err", err)
	return r
}

// hurry tells Run that something differs.
func (s *Syncer) hurry() {
	s.mu.Lock()
	s.asks.differs = true
	s.mu.Unlock()
	s.wake()
}

// takes reports whether there is room for entries.
func (s *Syncer) takes() bool { return s.cfg.Ledger.Writable() == nil }

func seasoning() (s salt) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}
