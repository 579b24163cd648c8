package status

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of asking.
const (
	// maxAsked bounds the peers asked for one map, maxAsks those at once.
	maxAsked = 256
	maxAsks  = 8
	// askTime bounds the question to one peer, crawlTime all of them.
	askTime   = 2 * time.Second
	crawlTime = 10 * time.Second
)

// crawl is the making of one map. drawn and err are set, and ended before done
// is closed.
type crawl struct {
	done  chan struct{}
	ended time.Time
	drawn Map
	err   error
}

// good reports whether the crawl is under way or its map not too old.
func (c *crawl) good(now time.Time) bool {
	select {
	case <-c.done:
		return c.err == nil && now.Sub(c.ended) < mapFor
	default:
		return true
	}
}

// run makes a map of what the node knows itself and what its peers answer.
func (m *Mapper) run(c *crawl) {
	defer close(c.done)
	defer func() {
		if p := recover(); p != nil {
			c.err = fmt.Errorf("making a map panicked: %v", p)
			m.cfg.Logger.Error("making a map panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		c.ended = time.Now()
	}()
	own := m.cfg.Report()
	own.TopicPeers = len(own.Peers)
	own.Peers = own.Peers[:min(len(own.Peers), maxAsked)]
	claims := append([]claim{{m.cfg.Host.ID(), own}}, m.askAll(own.Peers)...)
	if m.stopped.Err() != nil {
		c.err = ErrClosed
		return
	}
	c.drawn = draw(claims)
}

// askAll returns what the peers claim that answer, in the order given.
func (m *Mapper) askAll(peers []Peer) []claim {
	ctx, cancel := context.WithTimeout(m.stopped, crawlTime)
	defer cancel()
	answers := make([]*Report, len(peers))
	slots := make(chan struct{}, maxAsks)
	var asking sync.WaitGroup
	for i, p := range peers {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		asking.Go(func() {
			defer func() { <-slots }()
			report, err := m.ask(ctx, p.ID)
			if err != nil {
				m.cfg.Logger.Debug("asking a peer for its status", "peer", p.ID, "err", err)
				return
			}
			answers[i] = &report
		})
	}
	asking.Wait()
	claims := make([]claim, 0, len(peers))
	for i, p := range peers {
		if answers[i] != nil {
			claims = append(claims, claim{p.ID, *answers[i]})
		}
	}
	return slices.Clip(claims)
}

// ask asks one peer that the node is connected to.
func (m *Mapper) ask(ctx context.Context, id peer.ID) (r Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s, err := m.cfg.Host.NewStream(network.WithNoDial(ctx, "status"), id, Protocol)
	if err != nil {
		return Report{}, fmt.Errorf("opening a stream: %w", err)
	}
	err = m.use(ctx, s, func() error {
		tag := topicTag(m.cfg.Topic)
		if _, err := s.Write(tag[:]); err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		if err := s.CloseWrite(); err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		r, err = readReport(s)
		r.Agent = strings.Map(printable, r.Agent)
		return err
	})
	return r, err
}

// printable replaces what could disturb a terminal.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return unicode.ReplacementChar
	}
	return r
}
