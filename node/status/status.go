package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"p2ping/node/streams"
)

// Protocol is the stream protocol's ID.
const Protocol protocol.ID = "/p2ping/status/1.0.0"

// service is the name under which the resource manager accounts for streams.
const service = "p2ping.status"

// ErrClosed is returned by Map after Close.
var ErrClosed = errors.New("the mapper is closed")

// Config says what a Mapper works on. Host, Topic and Report are required.
type Config struct {
	// Host is what streams are opened on. The caller closes it, after the
	// Mapper.
	Host host.Host
	// Topic is the one that the node is on.
	Topic string
	// Report returns what the node knows of itself, with all its topic peers,
	// each once, in the order in which they are to be told where there are too
	// many. TopicPeers need not be set. It must not block; the Mapper keeps the
	// result.
	Report func() Report
	// Member reports whether a peer is on the topic: members may ask more than
	// strangers. It must not block; nil is nobody.
	Member func(peer.ID) bool
	// Scout makes the host by which a crawl asks those that the node is not
	// connected to, one for each crawl, which closes it; see the package comment
	// for what it must be. With nil, nobody but those connected is asked.
	Scout func() (host.Host, error)
	// Silent answers nobody.
	Silent bool
	// Logger receives what goes wrong; nil discards it.
	Logger *slog.Logger
}

// Mapper tells peers of the node and asks them in turn. See the package comment.
type Mapper struct {
	cfg    Config
	places *streams.Places
	askers *askers
	work   *streams.Work

	mu     sync.Mutex
	latest *crawl // guarded by mu; nil before the first
}

// New makes a Mapper that answers peers. The caller must call Close.
func New(cfg Config) (*Mapper, error) {
	if cfg.Host == nil || cfg.Topic == "" || cfg.Report == nil {
		return nil, errors.New("a mapper needs a host, a topic and a report")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Member == nil {
		cfg.Member = func(peer.ID) bool { return false }
	}
	m := &Mapper{cfg: cfg, places: streams.NewPlaces(maxAnswers, maxAnswers), askers: newAskers(), work: streams.NewWork()}
	if !cfg.Silent {
		cfg.Host.SetStreamHandler(Protocol, m.handle)
	}
	return m, nil
}

// Close stops answering and asking, and waits for what is under way. It may be
// called more than once.
func (m *Mapper) Close() error {
	if !m.cfg.Silent {
		m.cfg.Host.RemoveStreamHandler(Protocol)
	}
	m.work.Close()
	return nil
}

// Map returns a map of the network. One that another caller has made is given
// out again for 5 seconds, and for 0.1 s more for each stranger that it took to
// ask, so that a page that polls costs the network next to nothing; else one is
// made, which takes at most 15 seconds. All who wait share it, and it is made to
// its end whether they still wait or not. Map fails when ctx ends first, and with
// ErrClosed.
func (m *Mapper) Map(ctx context.Context) (Map, error) {
	c, err := m.current(time.Now())
	if err != nil {
		return Map{}, err
	}
	select {
	case <-c.done:
		return c.drawn, c.err
	case <-ctx.Done():
		return Map{}, fmt.Errorf("making a map: %w", ctx.Err())
	}
}

// Progress is how far the making of a map is.
type Progress struct {
	// Running says that one is being made. Else the rest is of the last one.
	Running bool
	// Asked counts the nodes that have answered, or won't; Known those that were
	// heard of. Neither counts the map's own.
	Asked, Known int
}

// Progress returns how far the map under way is. It never blocks for long.
func (m *Mapper) Progress() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil {
		return Progress{}
	}
	return m.latest.progress()
}

// current returns the crawl under way, or the last one if that is good, or
// begins one.
func (m *Mapper) current(now time.Time) (*crawl, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.work.Begin() {
		return nil, ErrClosed
	}
	if m.latest != nil && m.latest.good(now) {
		m.work.End()
		return m.latest, nil
	}
	c := &crawl{Mapper: m, done: make(chan struct{})}
	m.latest = c
	go func() {
		defer m.work.End()
		c.run()
	}()
	return c, nil
}
