package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Who comes and who goes is told peer by peer up to companyLines times in each
// companyWindow. What is beyond that is counted, and while more than that come and
// go, the count is all that is told: a line in each window, however many peers
// there are, and whatever they do.
const (
	companyWindow = time.Minute
	companyLines  = 10
)

// company tells the log who joins the topic and who leaves it.
type company struct {
	logger *slog.Logger

	mu     sync.Mutex
	lines  int // guarded by mu, as are all counts; what was told one by one
	joined int // beyond that, and not told yet
	left   int
	peers  int // on the topic
}

// came tells that a peer joined, which makes it so many. It never blocks.
func (c *company) came(id peer.ID, peers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers = peers
	c.logger.Log(context.Background(), c.level(&c.joined), "a peer joined the topic", "peer", id, "peers", peers)
}

// went tells that a peer left, which makes it so many. It never blocks.
func (c *company) went(id peer.ID, peers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers = peers
	c.logger.Log(context.Background(), c.level(&c.left), "a peer left the topic", "peer", id, "peers", peers)
}

// level returns at which level a peer is told of, and counts it among the rest if
// there are too many. mu is held.
func (c *company) level(rest *int) slog.Level {
	if c.lines < companyLines {
		c.lines++
		return slog.LevelInfo
	}
	*rest++
	return slog.LevelDebug
}

// run tells what was counted, until ctx ends.
func (c *company) run(ctx context.Context) {
	ticker := time.NewTicker(companyWindow)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.count()
		case <-ctx.Done():
			return
		}
	}
}

// count ends a window.
func (c *company) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.joined + c.left
	if rest > 0 {
		c.logger.Info("more peers joined or left the topic", "joined", c.joined, "left", c.left, "peers", c.peers)
	}
	if rest <= companyLines {
		c.lines = 0
	}
	c.joined, c.left = 0, 0
}
