package status

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
)

// Times of a crawl.
const (
	// askTime bounds the question to one node, the connection to it included;
	// crawlTime bounds all of them.
	askTime   = 5 * time.Second
	crawlTime = 15 * time.Second
	// keepFor is how long a map is given out again, and keepForDial how much
	// longer for each stranger that was dialled: a page that is left open dials
	// at most ten a second, however large the network.
	keepFor     = 5 * time.Second
	keepForDial = 100 * time.Millisecond
)

// crawl is the making of one map. Its goroutine is run's, which owns all but
// what is guarded.
type crawl struct {
	*Mapper
	frontier *frontier
	claims   []claim
	results  chan result
	scout    host.Host // nil until the first stranger is asked

	done chan struct{} // closed last
	// What follows is set before done is closed.
	ended time.Time
	keep  time.Duration
	drawn Map
	err   error

	mu           sync.Mutex
	asked, known int // guarded by mu
}

// result is what came of a question.
type result struct {
	question
	report Report
	err    error
}

// good reports whether the crawl is under way or its map not too old.
func (c *crawl) good(now time.Time) bool {
	select {
	case <-c.done:
		return c.err == nil && now.Sub(c.ended) < c.keep
	default:
		return true
	}
}

func (c *crawl) progress() Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := Progress{Running: true, Asked: c.asked, Known: c.known}
	select {
	case <-c.done:
		p.Running = false
	default:
	}
	return p
}

// run makes a map of what the node knows itself and of what others answer.
func (c *crawl) run() {
	defer close(c.done)
	defer func() {
		if p := recover(); p != nil {
			c.err = fmt.Errorf("making a map panicked: %v", p)
			c.cfg.Logger.Error("making a map panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		c.ended = time.Now()
	}()
	ctx, cancel := context.WithTimeout(c.work.Context(), crawlTime)
	defer cancel()
	own := c.cfg.Report()
	own.TopicPeers = len(own.Peers)
	c.frontier = newFrontier(c.cfg.Host.ID())
	c.frontier.grounded = c.cfg.Scout == nil
	c.take(c.frontier.self, own, true)
	c.ask(ctx)
	if c.work.Context().Err() != nil {
		c.err = ErrClosed
		return
	}
	c.keep = keepFor + time.Duration(c.frontier.dials)*keepForDial
	c.drawn = draw(c.claims, c.frontier.stateOf)
	c.drawn.Asked, c.drawn.Left, c.drawn.EndedEarly = c.frontier.asked, c.frontier.left(), ctx.Err() != nil
}

// ask asks one after the other, some at a time, until there is nobody left or
// ctx ends. When it returns, nothing of it is.
func (c *crawl) ask(ctx context.Context) {
	c.results = make(chan result)
	active := 0
	defer func() {
		for ; active > 0; active-- { // after a panic
			<-c.results
		}
		if c.scout == nil {
			return
		}
		if err := c.scout.Close(); err != nil {
			c.cfg.Logger.Debug("closing the host of a crawl", "err", err)
		}
	}()
	for {
		for active < maxAsks && c.follow(ctx) {
			active++
		}
		c.count(active)
		if active == 0 {
			return
		}
		r := <-c.results
		active--
		c.answered(ctx, r)
	}
}

// follow begins the next question, if there is one.
func (c *crawl) follow(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	q, ok := c.frontier.next()
	if !ok {
		return false
	}
	if !q.near && c.scout == nil {
		c.send()
	}
	go func() {
		report, err := c.question(ctx, q)
		c.results <- result{q, report, err}
	}()
	return true
}

// send makes the host by which strangers are asked.
func (c *crawl) send() {
	scout, err := c.cfg.Scout()
	if err != nil {
		c.frontier.grounded = true
		c.cfg.Logger.Warn("nobody but peers is asked for the map", "err", err)
		return
	}
	c.scout = scout
}

// answered takes in what came of a question.
func (c *crawl) answered(ctx context.Context, r result) {
	state := stateAfter(r.err)
	if state == Unreached && ctx.Err() != nil {
		state = Unasked // it had no time to answer
	}
	c.frontier.done(r.question, state)
	if r.err == nil {
		c.take(r.to, r.report, false)
		return
	}
	c.cfg.Logger.Debug("asking a node for its status", "peer", r.to.id, "err", r.err)
}

// take takes in what a node tells. Addresses have served their purpose then.
func (c *crawl) take(by *spot, r Report, near bool) {
	c.frontier.hear(by, r.Peers, near)
	for i := range r.Peers {
		r.Peers[i].Addrs = nil
	}
	c.claims = append(c.claims, claim{by.id, r})
}

// count notes how far the crawl is.
func (c *crawl) count(active int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.known = c.frontier.asked-active, len(c.frontier.spots)-1
}
