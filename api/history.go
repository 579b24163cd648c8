package api

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// Bounds of one page of history. A page ends early when it has reached
// maxPageBytes.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxPageBytes = 4 << 20
)

// history is what one GET /pings asks for: the pings from lo up to hi in the
// order of time, of one author or of all.
type history struct {
	lo, hi spot
	author peer.ID // "" for all
	limit  int     // 0 for no limit
}

// getPings answers with a page of history, with the whole of it as NDJSON, or
// with pings as they come.
func (s *Server) getPings(w http.ResponseWriter, r *http.Request) error {
	query, err := parameters(r, "since", "until", "before", "author", "limit", "format", "follow", "recent")
	if err != nil {
		return err
	}
	follow, err := boolean(query, "follow")
	if err != nil {
		return err
	}
	if follow {
		return s.followPings(w, r, query)
	}
	if query.Has("recent") {
		return refuse(http.StatusBadRequest, "the parameter recent goes with follow=1", "use limit")
	}
	lines, err := wantsLines(r, query)
	if err != nil {
		return err
	}
	h, err := s.parseHistory(r.Context(), query)
	if err != nil {
		return err
	}
	if lines && !query.Has("limit") {
		return s.allPings(w, r, h)
	}
	if h.limit == 0 {
		h.limit = defaultLimit
	}
	return s.answerPage(w, r, h, query, lines)
}

// boolean reads a parameter that is 1 or 0.
func boolean(query url.Values, name string) (bool, error) {
	switch v := query.Get(name); v {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, refusef(http.StatusBadRequest, "the parameter %s is 1 or 0, not %.40q", name, v)
	}
}

// wantsLines tells whether the answer is to be NDJSON.
func wantsLines(r *http.Request, query url.Values) (bool, error) {
	switch f := query.Get("format"); f {
	case "ndjson":
		return true, nil
	case "json":
		return false, nil
	case "":
		accept := r.Header.Get("Accept")
		return strings.Contains(accept, ndjson) || strings.Contains(accept, "application/jsonl"), nil
	default:
		return false, refusef(http.StatusBadRequest, "the parameter format is json or ndjson, not %.40q", f)
	}
}

// number reads a parameter from 1 to limit, 0 for none.
func number(query url.Values, name string, limit int) (int, error) {
	v := query.Get(name)
	if v == "" && !query.Has(name) {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > limit {
		return 0, refusef(http.StatusBadRequest, "the parameter %s is a number from 1 to %d, not %.40q", name, limit, v)
	}
	return n, nil
}

func (s *Server) parseHistory(ctx context.Context, query url.Values) (h history, err error) {
	h = history{hi: spot{key: entry.LastKey()}}
	if v := query.Get("since"); v != "" {
		if h.lo, err = s.parseSpot(ctx, "since", v, false); err != nil {
			return h, err
		}
	}
	if v := query.Get("until"); v != "" {
		if h.hi, err = s.parseSpot(ctx, "until", v, true); err != nil {
			return h, err
		}
	}
	if v := query.Get("before"); v != "" {
		before, ok := parsePage(v)
		if !ok {
			return h, refuse(http.StatusBadRequest, "the parameter before is not one that a page gave as next", "")
		}
		if before.key.Compare(h.hi.key) < 0 || before.key == h.hi.key && before.index < h.hi.index {
			h.hi = before
		}
	}
	if h.author, err = parseAuthor(query); err != nil {
		return h, err
	}
	h.limit, err = number(query, "limit", maxLimit)
	return h, err
}

func (s *Server) parseSpot(ctx context.Context, name, v string, end bool) (spot, error) {
	m, err := s.parseMark(name, v)
	if err != nil {
		return spot{}, err
	}
	return s.inTime(ctx, m, end)
}

func parseAuthor(query url.Values) (peer.ID, error) {
	v := query.Get("author")
	if v == "" {
		return "", nil
	}
	id, err := peer.Decode(v)
	if err != nil {
		return "", refuse(http.StatusBadRequest, fmt.Sprintf("the parameter author is not a peer ID: %.100q", v),
			"give a whole one, such as 12D3KooW...: GET /id has a node's own, and GET /pings every author's")
	}
	return id, nil
}

// holds tells whether ping i of a record is asked for.
func (h history) holds(r *ledger.Record, i int) bool {
	key := r.Entry.Key()
	return (key != h.lo.key || i >= h.lo.index) && (key != h.hi.key || i < h.hi.index) &&
		(h.author == "" || r.Entry.Author == h.author)
}

// end returns the first key that is not looked at.
func (h history) end() entry.Key {
	if h.hi.index > 0 {
		return successor(h.hi.key)
	}
	return h.hi.key
}

// answerPage answers with the newest pings that are asked for, the newest last,
// and a link to those before.
func (s *Server) answerPage(w http.ResponseWriter, r *http.Request, h history, query url.Values, lines bool) error {
	pings, next, err := s.page(r.Context(), h)
	if err != nil {
		return err
	}
	link := ""
	if next != nil {
		query = cloneQuery(query)
		query.Set("before", formatPage(*next))
		link = "/pings?" + query.Encode()
		w.Header().Set("Link", "<"+link+`>; rel="next"`)
	}
	if lines {
		w.Header().Set("Content-Type", ndjson)
		w.WriteHeader(http.StatusOK)
		for _, p := range pings {
			w.Write(append(p, '\n'))
		}
		return nil
	}
	body := []byte(`{"pings":[`)
	for i, p := range pings {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, p...)
	}
	body = append(body, ']')
	if link != "" {
		body = append(body, `,"next":`...)
		body = appendString(body, link)
	}
	answer(w, http.StatusOK, append(body, "}\n"...))
	return nil
}

// page returns up to h.limit pings in JSON, and where the page before ends.
func (s *Server) page(ctx context.Context, h history) (pings [][]byte, next *spot, err error) {
	encoder := s.newEncoder()
	last, bytes := h.hi, 0
	for r, err := range s.node.Ledger().RangeDown(h.lo.key, h.end()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, nil, err
		}
		for i := range slices.Backward(r.Entry.Pings) {
			if !h.holds(&r, i) {
				continue
			}
			if len(pings) == h.limit || bytes >= maxPageBytes {
				slices.Reverse(pings)
				return pings, &last, nil
			}
			pings = append(pings, encoder.ping(nil, &r, i))
			bytes += len(pings[len(pings)-1])
			last = spot{r.Entry.Key(), i}
		}
	}
	slices.Reverse(pings)
	return pings, nil, nil
}

// allPings streams everything that is asked for, the newest last.
func (s *Server) allPings(w http.ResponseWriter, r *http.Request, h history) error {
	done, err := s.beginStream()
	if err != nil {
		return err
	}
	defer done()
	buffered := bufio.NewWriterSize(s.newLongAnswer(w, ndjson), streamBuffer)
	encoder := s.newEncoder()
	var line []byte
	for record, err := range s.node.Ledger().Range(h.lo.key, h.end()) {
		if err = errors.Join(err, r.Context().Err()); err != nil {
			s.cutOff(r, fmt.Errorf("reading history: %w", err))
		}
		for i := range record.Entry.Pings {
			if !h.holds(&record, i) {
				continue
			}
			line = append(encoder.ping(line[:0], &record, i), '\n')
			if _, err := buffered.Write(line); err != nil {
				s.cutOff(r, err)
			}
		}
	}
	if err := buffered.Flush(); err != nil {
		s.cutOff(r, err)
	}
	return nil
}

// formatPage writes where a page begins, for a link to what is before it.
func formatPage(at spot) string {
	key := at.key.Append(make([]byte, 0, entry.KeySize))
	return base64.RawURLEncoding.EncodeToString(key) + "." + strconv.Itoa(at.index)
}

func parsePage(s string) (spot, bool) {
	encoded, index, _ := strings.Cut(s, ".")
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return spot{}, false
	}
	key, err := entry.DecodeKey(b)
	if err != nil || !decimal(index) {
		return spot{}, false
	}
	i, err := strconv.Atoi(index)
	return spot{key, i}, err == nil && i < entry.MaxPings
}

func cloneQuery(query url.Values) url.Values {
	clone := make(url.Values, len(query)+1)
	for name, values := range query {
		clone[name] = slices.Clone(values)
	}
	return clone
}
