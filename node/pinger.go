package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// Times and bounds of measuring round trips. This is libp2p's ping protocol,
// which has nothing to do with the pings that p2ping carries.
const (
	pingTick = time.Second
	// firstPing is when a new peer is first measured, and secondPing how long
	// after that again, as one round trip of a node that is just starting says
	// little. From there it doubles to the usual interval. Less a quarter, it is
	// more than pingTimeout: a peer that has two pings to answer resets a third.
	firstPing  = 2 * time.Second
	secondPing = 8 * time.Second
	// pingInterval is between two measurements of a peer. Those that this node
	// keeps are measured more often, to notice when they are gone: a QUIC
	// connection to a peer that was killed looks alive until something is sent
	// on it, and one into a partition until 30 s have passed.
	pingInterval = 30 * time.Second
	keptInterval = 10 * time.Second
	pingTimeout  = 5 * time.Second
	// goneAfter is how many pings in a row a kept peer may leave unanswered.
	goneAfter = 2
	// maxPings bounds measurements under way.
	maxPings = 16
	// rttWindow is of how many measurements the shortest counts.
	rttWindow = 5
)

type pingerConfig struct {
	Host host.Host
	// Keep says which peers are to be reconnected when they don't answer.
	Keep   func(peer.ID) bool
	Logger *slog.Logger
}

// pinger measures the round trip time to every connected peer, into the
// peerstore.
type pinger struct {
	host   host.Host
	keep   func(peer.ID) bool
	logger *slog.Logger
	slots  chan struct{}

	mu    sync.Mutex
	peers map[peer.ID]*pinged
}

type pinged struct {
	next   time.Time
	asked  int
	missed int // in a row
	// took are the last round trip times, 0 where there was none yet.
	took [rttWindow]time.Duration
	at   int // where the next one goes
}

func newPinger(cfg pingerConfig) *pinger {
	return &pinger{
		host:   cfg.Host,
		keep:   cfg.Keep,
		logger: cfg.Logger,
		slots:  make(chan struct{}, maxPings),
		peers:  make(map[peer.ID]*pinged),
	}
}

// run measures until ctx ends. It is called once.
func (p *pinger) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	ticker := time.NewTicker(pingTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, id := range p.due(now) {
				select {
				case p.slots <- struct{}{}:
					work.Go(func() {
						defer func() { <-p.slots }()
						p.measure(ctx, id)
					})
				default: // too many under way: with the next round
					p.putOff(id)
				}
			}
		}
	}
}

// due returns whom to measure now, those first that this node keeps, and sets when
// each is measured next.
func (p *pinger) due(now time.Time) []peer.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var due []peer.ID
	connected := p.host.Network().Peers()
	old := p.peers
	p.peers = make(map[peer.ID]*pinged, len(connected))
	for _, id := range connected {
		state := old[id]
		if state == nil {
			state = &pinged{next: now.Add(firstPing)}
		}
		p.peers[id] = state
		if now.Before(state.next) {
			continue
		}
		interval, place := pingInterval, len(due)
		if p.keep(id) {
			interval, place = keptInterval, 0
		}
		interval = min(interval, secondPing<<min(state.asked, 10))
		state.asked++
		// A quarter of jitter, so that nodes started together don't ping together.
		state.next = now.Add(interval - time.Duration(mathrand.Int64N(int64(interval/4))))
		due = slices.Insert(due, place, id)
	}
	return due
}

// putOff has a peer that is due be due again.
func (p *pinger) putOff(id peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if state := p.peers[id]; state != nil {
		state.asked--
		state.next = time.Time{}
	}
}

// measure pings a peer once, and closes the connections to one that this node
// keeps and that has not answered for some time: not one that was made meanwhile,
// as it may have started again.
func (p *pinger) measure(ctx context.Context, id peer.ID) {
	conns := p.host.Network().ConnsToPeer(id)
	rtt, err := pingOnce(ctx, p.host, id)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		p.host.Peerstore().RecordLatency(id, rtt)
		p.record(id, rtt)
	}
	if !p.missed(id, errors.Is(err, context.DeadlineExceeded)) {
		return
	}
	p.logger.Warn("a peer does not answer, connecting again", "peer", id)
	for _, c := range conns {
		if err := c.Close(); err != nil {
			p.logger.Debug("closing a peer that does not answer", "peer", id, "err", err)
		}
	}
}

func (p *pinger) record(id peer.ID, rtt time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if state := p.peers[id]; state != nil {
		state.took[state.at] = rtt
		state.at = (state.at + 1) % rttWindow
	}
}

// rtt returns the shortest of the last round trip times to a connected peer; 0
// if there is none. Unlike the peerstore's average, it is not moved by packets
// that waited in a queue, and a peer can't make it shorter than the way is.
func (p *pinger) rtt(id peer.ID) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := p.peers[id]
	if state == nil {
		return 0
	}
	var shortest time.Duration
	for _, took := range state.took {
		if took > 0 && (shortest == 0 || took < shortest) {
			shortest = took
		}
	}
	return shortest
}

// missed counts pings without an answer and reports whether they are too many.
func (p *pinger) missed(id peer.ID, timedOut bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := p.peers[id]
	if state == nil {
		return false
	}
	if !timedOut {
		state.missed = 0
		return false
	}
	if !p.keep(id) {
		return false
	}
	state.next = time.Now() // again at once
	if state.missed++; state.missed < goneAfter {
		return false
	}
	state.missed = 0
	return true
}

// pingOnce measures one round trip, within pingTimeout.
func pingOnce(ctx context.Context, h host.Host, id peer.ID) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	ctx = network.WithNoDial(network.WithAllowLimitedConn(ctx, "ping"), "ping")
	s, err := h.NewStream(ctx, id, ping.ID)
	if err != nil {
		return 0, fmt.Errorf("opening a ping stream: %w", err)
	}
	defer context.AfterFunc(ctx, func() { s.Reset() })() //nolint:errcheck // it is being given up
	rtt, err := roundTrip(s)
	if err != nil {
		return 0, errors.Join(ctx.Err(), err, s.Reset())
	}
	return rtt, s.Close()
}

func roundTrip(s io.ReadWriter) (time.Duration, error) {
	var out, in [ping.PingSize]byte
	rand.Read(out[:])
	start := time.Now()
	if _, err := s.Write(out[:]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(s, in[:]); err != nil {
		return 0, err
	}
	if in != out {
		return 0, errors.New("another answer than was sent")
	}
	return time.Since(start), nil
}
