package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// protectTag keeps the connection manager from closing bootstrap peers.
const protectTag = "p2ping-bootstrap"

// lasting is how long a connection must hold for its loss to be acted upon at
// once.
const lasting = 10 * time.Second

// A bootstrap peer of a large network has no room for everyone, and closes
// connections to make some. Who has enough peers without it lets it be: after
// patient connections in a row that held for less than settled, it waits for
// fullRetry, which doubles up to maxFullRetry, half of it jitter.
const (
	settled      = 10 * time.Minute
	patient      = 3
	fullRetry    = time.Minute
	maxFullRetry = time.Hour
)

var errHungUp = errors.New("it closed the connection at once")

// BootstrapState is how a node stands with one bootstrap peer.
type BootstrapState struct {
	// Addr is the address as it was given.
	Addr string
	// PeerID is "" until it is learned.
	PeerID    peer.ID
	Connected bool
	// Attempts counts the failures since the peer was last connected.
	Attempts int
	// LastError says why the last of them failed; "" while connected.
	LastError string
	// NextTry is when the next attempt begins; zero while connected, during an
	// attempt, and when there will be none.
	NextTry time.Time
}

type connectorConfig struct {
	Host      host.Host
	Bootstrap []Bootstrap
	Dialer    *dialer
	// Enough says whether the node has enough peers beside; nil: never.
	Enough func() bool
	Logger *slog.Logger
	// Rand draws jitter from [0, 1); nil is math/rand/v2.
	Rand func() float64
}

// connector keeps a node connected to its bootstrap peers, each on its own,
// in whatever order they come and go.
type connector struct {
	host    host.Host
	dialer  *dialer
	logger  *slog.Logger
	enough  func() bool
	rand    func() float64
	targets []*target
}

// target is one bootstrap peer. Its goroutine, in connector.keep, owns all
// that mu does not guard.
type target struct {
	bootstrap Bootstrap
	// wake is sent to when a connection to the peer came or went.
	wake chan struct{}
	// dialled is who had made the last connection.
	dialled direction
	since   time.Time // of the last connection's end, or of the start
	// short counts connections in a row that did not last: a peer that has no
	// room for us closes them, and must not be dialled again at once each time.
	short int
	// unsettled counts those that did not hold for long enough to be settled.
	unsettled int

	mu    sync.Mutex
	state BootstrapState
}

func newConnector(cfg connectorConfig) *connector {
	c := &connector{host: cfg.Host, dialer: cfg.Dialer, logger: cfg.Logger, rand: cfg.Rand, enough: cfg.Enough}
	if c.enough == nil {
		c.enough = func() bool { return false }
	}
	if c.rand == nil {
		c.rand = rand.Float64
	}
	for _, b := range cfg.Bootstrap {
		c.targets = append(c.targets, &target{
			bootstrap: b,
			wake:      make(chan struct{}, 1),
			state:     BootstrapState{Addr: b.String(), PeerID: b.ID},
		})
	}
	return c
}

// state returns how the node stands with each bootstrap peer, in the order
// they were named.
func (c *connector) state() []BootstrapState {
	states := make([]BootstrapState, 0, len(c.targets))
	for _, t := range c.targets {
		states = append(states, t.get())
	}
	return states
}

// keeps reports whether id is a bootstrap peer.
func (c *connector) keeps(id peer.ID) bool {
	for _, t := range c.targets {
		if t.get().PeerID == id {
			return true
		}
	}
	return false
}

// run connects until ctx ends. It is called once.
func (c *connector) run(ctx context.Context) {
	events := &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, conn network.Conn) { c.changed(conn.RemotePeer()) },
		DisconnectedF: func(_ network.Network, conn network.Conn) { c.changed(conn.RemotePeer()) },
	}
	c.host.Network().Notify(events)
	defer c.host.Network().StopNotify(events)
	var work sync.WaitGroup
	for _, t := range c.targets {
		work.Go(func() { c.keep(ctx, t) })
	}
	work.Wait()
}

// changed wakes whoever keeps the peer. It runs in the swarm and must not block.
func (c *connector) changed(id peer.ID) {
	for _, t := range c.targets {
		if t.get().PeerID != id {
			continue
		}
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// keep keeps one bootstrap peer connected until ctx ends, or until it turns out
// to be this node itself.
func (c *connector) keep(ctx context.Context, t *target) {
	t.since = time.Now()
	for ctx.Err() == nil {
		if c.connected(t) {
			c.awaitLoss(ctx, t)
			continue
		}
		if t.unsettled >= patient && c.enough() {
			c.rest(ctx, t, fullDelay(t.unsettled-patient, c.rand()))
		}
		if t.short > 0 {
			c.sleep(ctx, t, retryDelay(t.short-1, 0, nil, c.rand()))
		}
		err := c.attempt(ctx, t)
		if err == nil && !c.connected(t) {
			err = errHungUp
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, swarm.ErrSwarmClosed):
			return
		case errors.Is(err, ErrSelf):
			c.failed(t, c.selfNamed(t, err), 0)
			return
		default:
			wait := retryDelay(t.get().Attempts, time.Since(t.since), err, c.rand())
			c.failed(t, err, wait)
			c.sleep(ctx, t, wait)
		}
	}
}

// selfNamed adds to the error about a bootstrap peer that is this node itself what
// to do about it.
func (c *connector) selfNamed(t *target, err error) error {
	if t.bootstrap.ID == c.host.ID() {
		return fmt.Errorf("%w, else remove the address from the bootstrap peers", err)
	}
	return fmt.Errorf("%w; remove it from the bootstrap peers", err)
}

// rest leaves a peer alone for d, or until it is needed or connected.
func (c *connector) rest(ctx context.Context, t *target, d time.Duration) {
	end := time.Now().Add(d)
	for ctx.Err() == nil && c.enough() && !c.connected(t) && time.Now().Before(end) {
		c.sleep(ctx, t, min(lasting, time.Until(end)))
	}
}

// fullDelay returns how long to leave a peer alone that closed the connection
// for the n-th time in a row, from 0. jitter is from [0, 1).
func fullDelay(n int, jitter float64) time.Duration {
	d := min(maxFullRetry, fullRetry<<min(n, 6))
	return d/2 + time.Duration(jitter*float64(d/2))
}

// attempt makes one attempt to connect, and leaves the other side time to
// make it first where both would.
func (c *connector) attempt(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	id, err := c.dialer.who(ctx, t.bootstrap)
	if err != nil {
		return err
	}
	t.set(func(s *BootstrapState) { s.PeerID, s.NextTry = id, time.Time{} })
	if t.get().Attempts == 0 {
		c.sleep(ctx, t, grace(c.host.ID(), id, t.dialled, c.rand()))
		if c.connected(t) {
			return nil
		}
	}
	return c.dialer.dial(ctx, t.bootstrap, id)
}

// awaitLoss returns when the peer is not connected any more, or ctx ends.
func (c *connector) awaitLoss(ctx context.Context, t *target) {
	state := t.get()
	c.dialer.learn(t.bootstrap, state.PeerID) // who answered at the address may then have dialled us first
	c.logger.Info("connected to a bootstrap peer", "peer", state.PeerID, "address", state.Addr)
	t.set(func(s *BootstrapState) {
		s.Connected, s.Attempts, s.LastError, s.NextTry = true, 0, "", time.Time{}
	})
	c.host.ConnManager().Protect(state.PeerID, protectTag)
	start := time.Now()
	for c.connected(t) {
		t.dialled = directionOf(c.host.Network().ConnsToPeer(state.PeerID))
		select {
		case <-t.wake:
		case <-ctx.Done():
			return
		}
	}
	t.since = time.Now()
	t.short++
	if t.since.Sub(start) >= lasting {
		t.short = 0
	}
	t.unsettled++
	if t.since.Sub(start) >= settled {
		t.unsettled = 0
	}
	t.set(func(s *BootstrapState) { s.Connected = false })
	c.logger.Warn("lost a bootstrap peer, connecting again", "peer", state.PeerID, "address", state.Addr)
}

// failed takes a failure down, and logs it unless it is the last one's like.
func (c *connector) failed(t *target, err error, wait time.Duration) {
	text := err.Error()
	before := t.get()
	t.set(func(s *BootstrapState) {
		s.Attempts++
		s.LastError = text
		if wait > 0 {
			s.NextTry = time.Now().Add(wait)
		}
	})
	if before.LastError == text {
		return
	}
	if wait == 0 {
		c.logger.Error("a bootstrap peer is given up", "address", before.Addr, "err", err)
		return
	}
	c.logger.Warn("a bootstrap peer is not reached, trying on", "address", before.Addr, "err", err)
}

// sleep returns after d, when the peer is connected, or when ctx ends.
func (c *connector) sleep(ctx context.Context, t *target, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-t.wake:
			if c.connected(t) {
				return
			}
		}
	}
}

// connected reports whether there is a connection to the peer. One through a
// relay with limits counts, though GossipSub does not use it: a second would be
// the same.
func (c *connector) connected(t *target) bool {
	id := t.get().PeerID
	return id != "" && isConnected(c.host, id)
}

func isConnected(h host.Host, id peer.ID) bool {
	state := h.Network().Connectedness(id)
	return state == network.Connected || state == network.Limited
}

func (t *target) get() BootstrapState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

func (t *target) set(f func(*BootstrapState)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.state)
}
