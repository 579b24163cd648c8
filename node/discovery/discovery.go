package discovery

import (
	"context"
	crand "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"p2ping/node/streams"
)

// Protocol is the stream protocol's ID. Who does not speak it is not told of
// to others: it wants no company, or is a guest of another program.
const Protocol protocol.ID = "/p2ping/peers/1.0.0"

// service is the name under which the resource manager accounts for streams.
const service = "p2ping.peers"

// How many peers on the topic a node wants.
const (
	// wantPeers is a mesh of 7 and one to lose.
	wantPeers = 8
	// wantChosen of them it wants to have found itself, and not to have come:
	// so that strangers can't fill all places.
	wantChosen = 3
	// plenty is when it stops to look for those that went away: others, who
	// have fewer, do.
	plenty = 2 * wantPeers
)

// Config says what a Finder works on. Host, Topic, Peers and Dial are required.
type Config struct {
	// Host is what streams are opened on. The caller closes it, after the
	// Finder.
	Host host.Host
	// Topic is the one whose members are sought.
	Topic string
	// Peers returns who is on the topic now. It must not block.
	Peers func() []peer.ID
	// Member reports whether a peer is one of Peers, for whom places to be
	// answered are kept. It must not block. Nil takes every peer for one.
	Member func(peer.ID) bool
	// Dial connects to a peer at the addresses given, within its own time.
	// To be connected already is success.
	Dial func(context.Context, peer.AddrInfo) error
	// Kept says whether somebody else keeps the connection to a peer, such as
	// a bootstrap peer's: it is not dialled. Nil is nobody.
	Kept func(peer.ID) bool
	// Dir is where peers are remembered; nil remembers them in memory only.
	Dir *os.Root
	// MDNS announces the node on the local network and listens for others.
	MDNS bool
	// Logger receives what goes wrong; nil discards it.
	Logger *slog.Logger
	// Registerer receives the metrics; nil keeps them to the Finder.
	Registerer prometheus.Registerer
}

// Finder finds peers, and tells others of those it has. See the package
// comment.
type Finder struct {
	cfg      Config
	metrics  *metrics
	instance [8]byte
	kick     chan struct{} // wakes Run; capacity 1
	results  chan func(now time.Time)
	mdns     *announcer // nil without
	places   *streams.Places
	askers   *askers
	work     *streams.Work

	mu     sync.Mutex
	book   *book // guarded by mu
	found  map[peer.ID]Source
	moves  []move // guarded by mu: what Run has not looked at
	state  State  // guarded by mu
	budget map[Source]*rate.Limiter
}

// move is a peer that joined the topic or left it.
type move struct {
	id     peer.ID
	joined bool
}

// maxMoves bounds the moves that wait. Who joined with more is not remembered,
// unless it says again where it is.
const maxMoves = 1024

// State is how the search stands.
type State struct {
	// Remembered counts the peers that were met, but for those that are kept.
	Remembered int
	// MDNS says that the node announces itself on the local network.
	MDNS bool
	// LastError says why the last dial failed; "" when one succeeded since.
	LastError string
	// Twin says that peers see another node with this node's identity.
	Twin bool
}

// New makes a Finder that answers peers; Run looks for some. The caller must
// call Close.
func New(cfg Config) (*Finder, error) {
	if cfg.Host == nil || cfg.Topic == "" || cfg.Peers == nil || cfg.Dial == nil {
		return nil, errors.New("discovery needs a host, a topic, its peers and a way to dial")
	}
	if cfg.Kept == nil {
		cfg.Kept = func(peer.ID) bool { return false }
	}
	if cfg.Member == nil {
		cfg.Member = func(peer.ID) bool { return true }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	f := &Finder{
		cfg:     cfg,
		metrics: m,
		kick:    make(chan struct{}, 1),
		results: make(chan func(time.Time)),
		places:  streams.NewPlaces(maxAnswers, maxAnswers),
		askers:  newAskers(),
		work:    streams.NewWork(),
		book:    newBook(cfg.Host.ID(), rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
		found:   make(map[peer.ID]Source),
		budget:  newBudgets(),
	}
	crand.Read(f.instance[:])
	if cfg.MDNS {
		f.mdns = newAnnouncer(cfg.Host, cfg.Topic, f.announced, cfg.Logger)
	}
	f.recall(time.Now())
	cfg.Host.SetStreamHandler(Protocol, f.handle)
	return f, nil
}

// Close stops answering, makes Run return and waits for it. It may be called
// more than once.
func (f *Finder) Close() error {
	f.cfg.Host.RemoveStreamHandler(Protocol)
	f.work.Close()
	return nil
}

// PeerJoined tells that a peer joined the topic. It never blocks.
func (f *Finder) PeerJoined(id peer.ID) { f.note(move{id, true}) }

// PeerLeft tells that a peer left the topic. It never blocks.
func (f *Finder) PeerLeft(id peer.ID) { f.note(move{id, false}) }

func (f *Finder) note(m move) {
	f.mu.Lock()
	if len(f.moves) < maxMoves {
		f.moves = append(f.moves, m)
	}
	f.mu.Unlock()
	f.wake()
}

// Found returns how a connected peer was found, if it was this Finder that did.
func (f *Finder) Found(id peer.ID) (Source, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.found[id]
	return s, ok
}

// State returns how the search stands.
func (f *Finder) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	for id, c := range f.book.contacts {
		if !c.seen.IsZero() && !f.cfg.Kept(id) {
			s.Remembered++
		}
	}
	s.MDNS = f.mdns.running()
	return s
}

// wake makes Run look. It never blocks.
func (f *Finder) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// announced takes a peer that announced itself on the local network.
func (f *Finder) announced(r record) {
	f.mu.Lock()
	f.book.tell(r, MDNS, time.Now())
	f.mu.Unlock()
	f.wake()
}
