package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"p2ping/node"
	"p2ping/node/entry"
)

// line is a ping to be published.
type line struct {
	text string
	key  string // the idempotency key, "" for none
}

// result is what became of one line.
type result struct {
	published node.Published
	replayed  bool // published by an earlier request
	err       error
}

// publishAll publishes lines, each at most once for its key, and appends their
// results.
func (s *Server) publishAll(ctx context.Context, lines []line, results []result) []result {
	for i := range lines {
		if lines[i].key != "" {
			return append(results, s.publishKeyed(ctx, lines)...)
		}
	}
	pings := make([]entry.Ping, len(lines))
	for i, l := range lines {
		pings[i].Text = l.text
	}
	return s.sendPings(ctx, pings, results)
}

// sendPings hands pings to the node and appends their results.
func (s *Server) sendPings(ctx context.Context, pings []entry.Ping, results []result) []result {
	if len(pings) == 0 {
		return results
	}
	published, err := s.node.PublishAll(ctx, pings)
	for i := range published {
		results = append(results, result{published: published[i]})
	}
	if err == nil {
		err = errors.New("the node says nothing of this ping")
	}
	for range len(pings) - len(published) {
		results = append(results, result{err: err})
	}
	return results
}

// publishKeyed publishes lines of which some have an idempotency key. Where a
// key comes twice, the second has the answer of the first. It goes on when ctx
// ends: a key whose ping was given up on halfway has no outcome for a day.
func (s *Server) publishKeyed(ctx context.Context, lines []line) []result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyedTimeout)
	defer cancel()
	results := make([]result, 0, len(lines))
	for len(lines) > 0 {
		n := distinct(lines)
		results = append(results, s.publishDistinct(ctx, lines[:n])...)
		lines = lines[n:]
	}
	return results
}

// distinct returns how many of the lines come before a key is there twice.
func distinct(lines []line) int {
	seen := make(map[string]bool, len(lines))
	for i, l := range lines {
		if l.key != "" && seen[l.key] {
			return i
		}
		seen[l.key] = true
	}
	return len(lines)
}

// publishDistinct publishes lines whose keys differ.
func (s *Server) publishDistinct(ctx context.Context, lines []line) []result {
	if s.keys == nil {
		return failAll(lines, refuse(http.StatusBadRequest, "this node does not remember idempotency keys", "leave the key away"))
	}
	// What can be known not to work had better not leave a key behind.
	if err := s.node.Ledger().Writable(); err != nil {
		return failAll(lines, err)
	}
	claims := make([]*claim, len(lines)) // nil for lines without key
	var claimed []*claim
	for i, l := range lines {
		if l.key != "" {
			claims[i] = newClaim(l.key, l.text)
			claimed = append(claimed, claims[i])
		}
	}
	if err := s.keys.claim(claimed, s.now()); err != nil {
		return failAll(lines, err)
	}
	defer s.keys.release(claimed)

	results := make([]result, len(lines))
	var pings []entry.Ping
	var at []int // where in lines each ping is
	for i, l := range lines {
		c := claims[i]
		switch {
		case c == nil:
			pings, at = append(pings, entry.Ping{Text: l.text}), append(at, i)
		case c.err != nil:
			results[i].err = c.err
		case c.used:
			results[i] = s.replay(c, l.text)
		default:
			pings, at = append(pings, entry.Ping{Text: l.text, SentAt: c.record.sentAt}), append(at, i)
		}
	}
	for i, r := range s.sendPings(ctx, pings, nil) {
		results[at[i]] = r
	}
	s.record(claims, results)
	return results
}

// failAll gives every line the same error.
func failAll(lines []line, err error) []result {
	results := make([]result, len(lines))
	for i := range results {
		results[i].err = err
	}
	return results
}

// replay answers for a key that was used before.
func (s *Server) replay(c *claim, text string) result {
	if !c.record.done {
		found, err := s.lookUp(c.record, text)
		if err != nil {
			return result{err: err}
		}
		if !found.done {
			return result{err: later(http.StatusConflict, comebackTime, "the outcome of this idempotency key is unknown: the node was stopped while it published",
				"send it again with the same key: if a peer has the ping, it is back soon after the two are connected; a new key may publish it twice")}
		}
		c.record = found
	}
	return result{published: c.record.answer(text), replayed: true}
}

// comebackTime is how long catch-up takes at most, as a rule, to bring back what
// a connected peer has.
const comebackTime = 10 * time.Second

// A ping with a key waits at most keyedTimeout in the node, so the entry it is
// in bears a time that is as close to its own; and some slack.
const (
	lookBehind = keyedTimeout + 5*time.Second
	lookAhead  = 5 * time.Second
)

// lookUp searches the ledger for the ping that a key was used for.
func (s *Server) lookUp(k keyRecord, text string) (keyRecord, error) {
	at := time.UnixMicro(k.sentAt)
	lo := entry.Key{Time: max(0, at.Add(-lookBehind).UnixMilli())}
	hi := entry.Key{Time: at.Add(lookAhead).UnixMilli()}
	for r, err := range s.node.Ledger().Range(lo, hi) {
		if err != nil {
			return k, err
		}
		if r.Entry.Author != s.self {
			continue
		}
		for i, p := range r.Entry.Pings {
			if p.SentAt == k.sentAt && p.Text == text {
				k.done, k.entry, k.index = true, r.Entry.ID, i
				return k, nil
			}
		}
	}
	return k, nil
}

// record writes down what became of the keys. Failing to is no failure of the
// pings, whose outcome the ledger knows.
func (s *Server) record(claims []*claim, results []result) {
	var settled, dropped []*claim
	for i, c := range claims {
		switch r := results[i]; {
		case c == nil || c.err != nil:
		case r.err == nil:
			c.record.done = true
			c.record.entry, c.record.index = r.published.Entry, r.published.Index
			c.record.sentAt, c.record.topicPeers = r.published.SentAt.UnixMicro(), r.published.TopicPeers
			settled = append(settled, c)
		case !c.used && (busy(r.err) || errors.Is(r.err, node.ErrStopped) || errors.Is(r.err, entry.ErrInvalid)):
			dropped = append(dropped, c)
		}
	}
	if err := errors.Join(s.keys.settle(settled), s.keys.drop(dropped)); err != nil {
		s.logger.Warn("recording the outcome of idempotency keys", "err", err)
	}
}

// busy tells that nothing was published, and that it may be tried again.
func busy(err error) bool {
	return errors.Is(err, node.ErrBusy)
}
