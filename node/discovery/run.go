package discovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"golang.org/x/time/rate"
)

// Times and bounds of the search.
const (
	// look is how often the search looks at how things stand, when nothing
	// calls for it earlier.
	look = time.Second
	// maxDials bounds the dials under way. A peer that doesn't answer holds one
	// for some seconds.
	maxDials = 4
	// probeEvery is the least time between two dials of peers that went away,
	// when there are enough others.
	probeEvery = 2 * time.Second
	// joinTime is how long a peer that was dialled may take to be on the topic
	// until another is dialled in its stead.
	joinTime = 5 * time.Second
	// chosenTag and chosenValue make the connection manager, should it have to
	// close connections, prefer others.
	chosenTag   = "p2ping-found"
	chosenValue = 10
)

// runner is what Run's goroutine owns.
type runner struct {
	*Finder
	asking rhythm
	dials  int
	// young are peers that were dialled and are not on the topic yet.
	young map[peer.ID]time.Time
	probe time.Time // no probe before
	saver saver
}

// Run looks for peers until ctx ends or Close is called; then it waits for
// what is under way, remembers, and returns nil. It fails at once where the host
// does not tell of what peers say of themselves. It is called once.
func (f *Finder) Run(ctx context.Context) error {
	if !f.work.Begin() {
		return nil
	}
	defer f.work.End()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.work.Context(), cancel)()
	// With libp2p's own 16, whoever connects would wait for Run's disk.
	identified, err := f.cfg.Host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(maxMoves))
	if err != nil {
		return fmt.Errorf("learning what peers say of themselves: %w", err)
	}
	r := &runner{Finder: f, asking: newRhythm(f.cfg.Host.ID()), young: make(map[peer.ID]time.Time)}
	if f.mdns != nil {
		done := make(chan struct{})
		go func() { defer close(done); f.mdns.run(ctx) }()
		defer func() { <-done }()
	}
	r.run(ctx, identified.Out())
	if err := identified.Close(); err != nil { // who has something to tell waits for nobody now
		f.cfg.Logger.Warn("learning what peers say of themselves", "err", err)
	}
	for r.dials > 0 || r.asking.active > 0 {
		(<-r.results)(time.Now())
	}
	now := time.Now()
	r.attend(now)
	r.save(now)
	return nil
}

func (r *runner) run(ctx context.Context, identified <-chan any) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for ctx.Err() == nil {
		r.step(ctx, time.Now())
		select {
		case <-ctx.Done():
		case <-r.kick:
		case <-ticker.C:
		case result := <-r.results:
			result(time.Now())
		case e := <-identified:
			if e, ok := e.(event.EvtPeerIdentificationCompleted); ok {
				r.identified(e.Peer, time.Now())
			}
		}
	}
}

// step does what is due.
func (r *runner) step(ctx context.Context, now time.Time) {
	r.attend(now)
	need, members := r.need()
	for need > 0 && r.dials < maxDials && r.dialOne(ctx, now, func(*contact) bool { return true }) {
		need--
	}
	if members < plenty && !r.probe.After(now) && r.dials < maxDials {
		if r.dialOne(ctx, now, func(c *contact) bool { return c.wanted(now) }) {
			r.probe = now.Add(probeEvery)
		}
	}
	if need > 0 || r.stateOf().Twin {
		r.ask(ctx, now)
	}
	if r.saver.due(now) {
		r.save(now)
	}
}

func (r *runner) stateOf() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// attend takes in who came and who went.
func (r *runner) attend(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.moves {
		if !m.joined {
			r.book.leave(m.id, now)
			r.saver.change(now)
			continue
		}
		delete(r.young, m.id)
		r.meet(m.id, now)
		r.saver.change(now)
		r.asking.joined(m.id, now)
	}
	r.moves = nil
	for id := range r.found {
		if c := r.book.contacts[id]; (c == nil || !c.busy) && !r.connected(id) {
			delete(r.found, id)
		}
	}
	for id, at := range r.young {
		if now.Sub(at) > joinTime {
			delete(r.young, id)
		}
	}
	for _, id := range r.cfg.Peers() { // or who stays would be forgotten like who went
		if c := r.book.contacts[id]; c != nil && r.connected(id) {
			c.seen = now
		}
	}
	r.book.age(now)
}

// identified takes in that a peer said where it can be reached: that may be
// after it joined the topic, and more than once.
func (r *runner) identified(id peer.ID, now time.Time) {
	if !r.cfg.Member(id) {
		return // when it joins
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.meet(id, now)
	r.saver.change(now)
}

// meet enters a peer that is on the topic. mu is held.
func (r *runner) meet(id peer.ID, now time.Time) {
	conns := r.cfg.Host.Network().ConnsToPeer(id)
	if len(conns) == 0 || !isEd25519(id) {
		return
	}
	e := endOf(conns)
	r.book.meet(id, tellable(addrsOf(r.cfg.Host, id, conns), e, e), now)
}

func (f *Finder) connected(id peer.ID) bool {
	state := f.cfg.Host.Network().Connectedness(id)
	return state == network.Connected || state == network.Limited
}

// need returns how many more peers are to be dialled, and how many there are.
func (r *runner) need() (need, members int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	chosen := 0
	for _, id := range r.cfg.Peers() {
		members++
		delete(r.young, id)
		if _, ok := r.found[id]; ok || r.cfg.Kept(id) {
			chosen++
		}
	}
	return max(wantPeers-members, wantChosen-chosen) - len(r.young) - r.dials, members
}

// dialOne begins a dial of one of the contacts that want accepts, and reports
// whether there was one.
func (r *runner) dialOne(ctx context.Context, now time.Time, want func(*contact) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.book.pick(now, func(c *contact) bool {
		return want(c) && !r.connected(c.id) && !r.cfg.Kept(c.id) && r.budget[c.source].TokensAt(now) >= 1
	})
	if c == nil {
		return false
	}
	r.budget[c.source].AllowN(now, 1)
	c.busy = true
	r.dials++
	info, source := peer.AddrInfo{ID: c.id, Addrs: c.addrs}, c.source
	r.found[c.id] = source // it may be on the topic before the dial returns
	go func() {
		err := r.cfg.Dial(ctx, info)
		r.results <- func(now time.Time) { r.dialled(ctx, info.ID, source, err, now) }
	}()
	return true
}

// dialled takes in how a dial ended.
func (r *runner) dialled(ctx context.Context, id peer.ID, source Source, err error, now time.Time) {
	r.dials--
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.book.contacts[id]; c != nil {
		c.busy = false
	}
	if !dialledByUs(r.cfg.Host.Network().ConnsToPeer(id)) {
		delete(r.found, id)
	}
	if ctx.Err() != nil {
		return
	}
	r.metrics.dials.WithLabelValues(source.String(), outcome(err)).Inc()
	if err == nil {
		r.state.LastError = ""
		if c := r.book.contacts[id]; c != nil {
			c.lost = false
			c.next = now.Add(lateRetry) // if it goes again before it is on the topic
		}
		if !r.connected(id) {
			return
		}
		r.young[id] = now
		if _, ok := r.found[id]; ok {
			r.cfg.Host.ConnManager().TagPeer(id, chosenTag, chosenValue)
		}
		r.cfg.Logger.Debug("connected to a peer that was found", "peer", id, "found", source.String())
		return
	}
	r.state.LastError = lastLine(err)
	if other, ok := answeredBy(err); ok {
		r.cfg.Logger.Info("another peer answers where one was known to be, which is forgotten: it has a new key, or a new address",
			"peer", id, "now", other, "found", source.String())
		r.book.forget(id)
		r.saver.change(now)
		return
	}
	r.cfg.Logger.Debug("a known peer is not reached", "peer", id, "found", source.String(), "err", err)
	r.book.fail(id, now)
}

func dialledByUs(conns []network.Conn) bool {
	for _, c := range conns {
		if c.Stat().Direction == network.DirOutbound {
			return true
		}
	}
	return false
}

// answeredBy returns who answered a dial instead of who was dialled. Somebody
// must have at every address: where nobody did, the peer may be and only be away,
// and one of the addresses may be the lie of whoever wants it forgotten.
func answeredBy(err error) (other peer.ID, ok bool) {
	dial, ok := errors.AsType[*swarm.DialError](err)
	if !ok || dial.Skipped > 0 {
		return "", false
	}
	for _, e := range dial.DialErrors {
		mismatch, ok := errors.AsType[sec.ErrPeerIDMismatch](e.Cause)
		if !ok {
			return "", false
		}
		other = mismatch.Actual
	}
	return other, other != ""
}

// lastLine returns why a dial failed, in a line for people.
func lastLine(err error) string {
	if dial, ok := errors.AsType[*swarm.DialError](err); ok && len(dial.DialErrors) > 0 {
		err = dial.DialErrors[0].Cause
	}
	text := []rune(err.Error())
	return string(text[:min(len(text), 200)])
}

// newBudgets are what dials cost at most, whatever anybody tells: 16 at once
// and 15 a minute for peers that others told of, at maxAddrs addresses each.
func newBudgets() map[Source]*rate.Limiter {
	return map[Source]*rate.Limiter{
		Exchange:   rate.NewLimiter(rate.Every(4*time.Second), 16),
		Remembered: rate.NewLimiter(rate.Every(time.Second), 16),
		MDNS:       rate.NewLimiter(rate.Every(4*time.Second), 16),
	}
}

// jitter returns a time between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
