// Package api is a node's HTTP face: requests in, calls to the node out. It
// holds no state of the network's own.
//
// # Safety
//
// A web page can make a browser send requests to this machine. Every request
// must therefore name a host that is known to be this node's, which defeats
// DNS rebinding, and must not come from another site's page; the publishing
// GET, which every <img> could ask for, is guarded hardest (guard.go).
//
// # Errors
//
// Every error is a problem document (RFC 9457), made in one place (problem.go)
// from what handlers return.
//
// # Limits
//
// Bodies, headers, lines, streams and times are bounded by the constants of
// this package. A stream that its reader does not drain is cut off, and costs
// nobody else anything: streams pull from the ledger and have no queues.
package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
	"p2ping/node/status"
)

// Node is what the API asks of a node. *node.Node is one. All methods are
// called from many goroutines at once.
type Node interface {
	Info() (node.Info, error)
	Peers() []node.PeerInfo
	// Connect blocks until a connection stands or ctx ends.
	Connect(ctx context.Context, address string) (peer.ID, error)
	Readiness() node.Readiness
	Sync() (node.SyncState, error)
	// Map blocks until the network was asked, 15 seconds at most.
	Map(ctx context.Context) (status.Map, error)
	// MapProgress says how far that is. It does not block.
	MapProgress() status.Progress
	// Publish blocks until the ping is on disk.
	Publish(ctx context.Context, text string) (node.Published, error)
	// PublishAll publishes pings in their order and returns those that were
	// published, which come first, and why the others were not. A ping whose
	// SentAt is 0 gets the time of the call.
	PublishAll(ctx context.Context, pings []entry.Ping) ([]node.Published, error)
	// Receipts blocks until so many peers have stored the ping, or ctx ends.
	Receipts(ctx context.Context, p node.Published, want int) []node.Receipt
	// CameFrom returns who brought an entry by gossip, "" where that is
	// forgotten.
	CameFrom(key entry.Key) peer.ID
	Ledger() *ledger.Ledger
}

// Config says what is served, and to whom.
type Config struct {
	// Node is required. The caller closes it, after the server.
	Node Node
	// Hosts are the names and addresses, without port, that requests may be
	// addressed to beside this machine's loopback names; "*" allows every name,
	// which leaves other sites' pages a way in.
	Hosts []string
	// Token must come as bearer token with every request but GET /livez and the
	// page's files; "" asks for none.
	Token string
	// KeysPath is the file that remembers idempotency keys for 24 hours; it is
	// made when the first comes. "" has requests with a key refused.
	KeysPath string
	// PublishRate bounds the pings that one address may publish in a second;
	// up to ten seconds' worth may come at once. 0 is no bound.
	PublishRate float64
	// MaxStreams bounds the streams that are open at one time, 0 means 256;
	// MaxConns the connections of each Serve, 0 means 4,096.
	MaxStreams, MaxConns int
	// Gatherer holds what GET /metrics shows; nil shows nothing.
	Gatherer prometheus.Gatherer
	// Registerer receives the server's own metrics; nil keeps them to itself.
	Registerer prometheus.Registerer
	// Logger receives what goes wrong inside; nil discards it.
	Logger *slog.Logger
}

// Server answers HTTP requests. Make it with [New].
type Server struct {
	node      Node
	topic     string
	self      peer.ID
	author    string // self in base58
	logger    *slog.Logger
	guard     *guard
	resources map[string]*resource
	metrics   http.Handler
	common    []header  // set on every answer
	scratch   sync.Pool // of *scratch
	watch     *watch
	keys      *keys // nil when keys are not remembered
	limiter   *limiter
	streams   chan struct{} // holds one for every open stream
	imports   chan struct{} // holds one for every import
	conns     int
	now       func() time.Time
	heartbeat time.Duration
	stall     time.Duration

	stopping chan struct{} // closed when streams have to end
	stopOnce sync.Once     // closes stopping
}

// New makes a server. It fails when the configuration can't work. The caller
// calls Close.
func New(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registerer == nil {
		cfg.Registerer = prometheus.NewRegistry()
	}
	if cfg.Gatherer == nil {
		cfg.Gatherer = prometheus.NewRegistry()
	}
	if cfg.Node == nil {
		return nil, errors.New("an API server needs a node")
	}
	info, err := cfg.Node.Info()
	if err != nil {
		return nil, err
	}
	s := &Server{
		node:      cfg.Node,
		topic:     info.Topic,
		self:      info.PeerID,
		author:    info.PeerID.String(),
		logger:    cfg.Logger,
		guard:     newGuard(cfg.Hosts, cfg.Token),
		metrics:   promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn)}),
		common:    commonHeaders(),
		scratch:   sync.Pool{New: func() any { return new(scratch) }},
		watch:     newWatch(cfg.Node),
		limiter:   newLimiter(cfg.PublishRate),
		streams:   make(chan struct{}, cmp.Or(cfg.MaxStreams, defaultMaxStreams)),
		imports:   make(chan struct{}, maxImports),
		conns:     cmp.Or(cfg.MaxConns, defaultMaxConns),
		now:       time.Now,
		heartbeat: heartbeat,
		stall:     stall,

		stopping: make(chan struct{}),
	}
	if s.resources, err = s.routes(cfg.Registerer); err != nil {
		return nil, err
	}
	if cfg.KeysPath != "" {
		if s.keys, err = openKeys(cfg.KeysPath); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close closes what New opened. Serve must have returned.
func (s *Server) Close() error {
	if s.keys == nil {
		return nil
	}
	return s.keys.close()
}

// header is a name in canonical form with its shared, read-only values: the
// cheapest way to set one.
type header struct {
	name   string
	values []string
}

// commonHeaders say that answers are data for this origin alone: not to be
// sniffed, kept, framed, run or embedded.
func commonHeaders() []header {
	return []header{
		{"X-Content-Type-Options", []string{"nosniff"}},
		{"Cache-Control", []string{"no-store"}},
		{"Content-Security-Policy", []string{"default-src 'none'; frame-ancestors 'none'"}},
		{"Cross-Origin-Resource-Policy", []string{"same-origin"}},
	}
}
