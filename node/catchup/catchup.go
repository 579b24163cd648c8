// Package catchup is the protocol that makes two ledgers equal. Gossip is the
// fast path; this is the guarantee.
//
// Two nodes compare what they hold by range-based set reconciliation (Aljoscha
// Meyer, 2022) over (time, id): the fingerprint of everything; where it
// differs, fingerprints of parts; for small parts lists of ids; then what one
// lacks and the other holds flows both ways, in order of time. Equal ledgers
// cost one round trip and under 100 bytes, whatever their size. PROTOCOL.md has
// the frames.
//
// A [Syncer] answers sessions and begins them: with a peer that joins the
// topic, with random topic peers every 5 to 10 seconds, less often while
// nothing changes, and at once when anything was dropped.
//
// # Trust
//
// None. What arrives passes the same checks as gossip: signature and
// admission. Every length is bounded before anything is allocated; frames,
// ranges, turns, entries, bytes and time have limits, which are constants with
// their reasons. A peer that claims more than it sends is asked again, in its
// turn; one that sends what no honest peer sends is left alone for a while,
// doubling, and [PeerState] says why.
//
// # Layout
//
// The arithmetic is pure and has no input or output: frame.go and ranges.go
// (the codec), talk.go and turn.go (the rounds, as a state machine), gate.go,
// rhythm.go and book.go (who, when, and what is remembered). Around it,
// wire.go, intake.go, send.go and session.go move bytes, and catchup.go and
// run.go start sessions.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. A session has one
// goroutine, and for a moment some more that check signatures.
package catchup

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"

	"p2ping/node/entry"
	"p2ping/node/streams"
)

// Protocol is the stream protocol's ID.
const Protocol protocol.ID = "/p2ping/catchup/1.0.0"

// service is the name under which the resource manager accounts for sessions.
const service = "p2ping.catchup"

// Config says what a Syncer works on. Host, Ledger, Topic, Peers and Admit are
// required.
type Config struct {
	// Host is what streams are opened on. The caller closes it, after the
	// Syncer.
	Host host.Host
	// Ledger is what is compared, usually a *ledger.Ledger. The caller closes
	// it, after the Syncer.
	Ledger Store
	// Topic is the one topic of the ledger's entries.
	Topic string
	// Peers returns who is on the topic now. It must not block.
	Peers func() []peer.ID
	// Admit is the admission that gossip uses too: nil, or why an entry that
	// is valid is not taken. It must not block.
	Admit func(*entry.Entry) error
	// Now is the clock that peers compare theirs with; nil is time.Now.
	// Timers and deadlines go by time.Now in any case.
	Now func() time.Time
	// Logger receives what goes wrong; nil discards it.
	Logger *slog.Logger
	// Registerer receives the metrics; nil keeps them to the Syncer.
	Registerer prometheus.Registerer
	// Disabled makes a Syncer that neither answers nor asks: for tests that
	// want to see gossip alone.
	Disabled bool
}

// Syncer has sessions with peers. See the package comment.
type Syncer struct {
	cfg     Config
	gate    *gate
	book    *book
	bulk    *bulk
	metrics *metrics
	kick    chan struct{} // wakes Run; capacity 1
	work    *streams.Work

	mu   sync.Mutex
	asks asks // guarded by mu
}

// New makes a Syncer that answers sessions; Run begins some. The caller must
// call Close.
func New(cfg Config) (*Syncer, error) {
	if cfg.Host == nil || cfg.Ledger == nil || cfg.Peers == nil || cfg.Admit == nil || cfg.Topic == "" {
		return nil, errors.New("catch-up needs a host, a ledger, a topic, its peers and an admission")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Syncer{
		cfg:     cfg,
		gate:    newGate(cfg.Host.ID()),
		book:    newBook(),
		bulk:    &bulk{},
		metrics: m,
		kick:    make(chan struct{}, 1),
		work:    streams.NewWork(),
	}
	if !cfg.Disabled {
		cfg.Host.SetStreamHandler(Protocol, s.handle)
	}
	return s, nil
}

// Close stops answering, ends the sessions under way and waits for them, and
// makes Run return. It may be called more than once.
func (s *Syncer) Close() error {
	if !s.cfg.Disabled {
		s.cfg.Host.RemoveStreamHandler(Protocol)
	}
	s.work.Close()
	return nil
}

// State returns the outcome of the last comparison with each peer that is
// remembered, in the order of their IDs. Some have left since.
func (s *Syncer) State() []PeerState { return s.book.states() }

// Reason is why a catch-up is due at once.
type Reason uint8

// Drop says that some queue dropped a message, nobody knows whose.
const Drop Reason = 1

// Trigger asks some peers at once: within a second, however often it is called.
// It never blocks.
func (s *Syncer) Trigger(reason Reason) {
	if reason != Drop {
		panic(fmt.Sprintf("catchup: no reason %d", reason))
	}
	s.mu.Lock()
	s.asks.soon = true
	s.mu.Unlock()
	s.wake()
}

// PeerJoined asks a peer at once: because it joined the topic, or because
// something on its way to it was lost. It never blocks.
func (s *Syncer) PeerJoined(p peer.ID) {
	s.mu.Lock()
	s.asks.joined.add(p, time.Time{})
	s.mu.Unlock()
	s.wake()
}

// asks is what was asked of Run since it last looked.
type asks struct {
	soon    bool // a round
	differs bool // something was found to, by a session of a peer's
	joined  queue
	news    news
}

// wake makes Run look. It never blocks.
func (s *Syncer) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}
