package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/protocol"
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
	// Silent answers nobody.
	Silent bool
	// Logger receives what goes wrong; nil discards it.
	Logger *slog.Logger
}

// Mapper tells peers of the node and asks them in turn. See the package comment.
type Mapper struct {
	cfg     Config
	answers answers

	stopped context.Context // done when Close was called
	stop    context.CancelFunc

	mu     sync.Mutex
	closed bool           // guarded by mu
	work   sync.WaitGroup // added to under mu, while not closed
	latest *crawl         // guarded by mu; nil before the first
}

// New makes a Mapper that answers peers. The caller must call Close.
func New(cfg Config) (*Mapper, error) {
	if cfg.Host == nil || cfg.Topic == "" || cfg.Report == nil {
		return nil, errors.New("a mapper needs a host, a topic and a report")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Mapper{cfg: cfg, answers: answers{askers: make(map[string]*asker)}}
	m.stopped, m.stop = context.WithCancel(context.Background())
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
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.work.Wait()
	return nil
}

// mapFor is how long a map is good: who asks again within that time gets the
// same one, so that a page that polls costs peers next to nothing.
const mapFor = 2 * time.Second

// Map returns a map of the network that is at most 2 seconds old, and makes one
// if there is none, which takes at most 10. It fails when ctx ends first, and
// with ErrClosed.
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

// current returns the crawl under way, or the last one if that is good, or
// begins one. All who wait share it.
func (m *Mapper) current(now time.Time) (*crawl, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, ErrClosed
	case m.latest != nil && m.latest.good(now):
		return m.latest, nil
	}
	c := &crawl{done: make(chan struct{})}
	m.latest = c
	m.work.Go(func() { m.run(c) })
	return c, nil
}
