package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Query selects pings of the past. Its zero value selects all.
type Query struct {
	// Since and Until bound the pings' times: RFC 3339, or how long ago, such
	// as "10m" or "7d", or a ping's id, which is not among them itself.
	Since, Until string
	// Author is a peer ID.
	Author string
	// Limit is how many of the newest are wanted, up to 1,000. 0 means 100 for
	// Pings, and all for History.
	Limit int
}

func (q Query) values() url.Values {
	values := url.Values{}
	set(values, "since", q.Since)
	set(values, "until", q.Until)
	set(values, "author", q.Author)
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	return values
}

func set(values url.Values, name, value string) {
	if value != "" {
		values.Set(name, value)
	}
}

// Pings returns the newest pings, the newest last: fewer than wanted, and where
// the others are, when their texts take more than 4 MiB.
func (c *Client) Pings(ctx context.Context, q Query) (Pings, error) {
	return call[Pings](ctx, c, http.MethodGet, withQuery("/pings", q.values()), nil)
}

// Next returns the page before another in time. There is one unless p.Next is
// "".
func (c *Client) Next(ctx context.Context, p Pings) (Pings, error) {
	if !strings.HasPrefix(p.Next, "/pings?") {
		return Pings{}, fmt.Errorf("this page has no link to another: %q", p.Next)
	}
	return call[Pings](ctx, c, http.MethodGet, p.Next, nil)
}

// History yields pings in the order of time, as they are read from the node's
// disk. After an error there is nothing more.
func (c *Client) History(ctx context.Context, q Query) iter.Seq2[Ping, error] {
	if q.Limit > 0 {
		return c.newest(ctx, q)
	}
	return func(yield func(Ping, error) bool) {
		values := q.values()
		values.Set("format", "ndjson")
		answer, err := c.stream(ctx, withQuery("/pings", values))
		if err != nil {
			yield(Ping{}, err)
			return
		}
		defer closeBody(answer)
		for line, err := range eachLine(answer.Body) {
			var p Ping
			if err == nil {
				err = json.Unmarshal(line, &p)
			}
			if err != nil {
				yield(Ping{}, fmt.Errorf("reading history from %s: %w", c.where, err))
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// newest yields as many of the newest pings as are wanted, from as many pages as
// they take.
func (c *Client) newest(ctx context.Context, q Query) iter.Seq2[Ping, error] {
	return func(yield func(Ping, error) bool) {
		page, err := c.Pings(ctx, q)
		pings := page.Pings
		for err == nil && len(pings) < q.Limit && page.Next != "" && len(page.Pings) > 0 {
			page, err = c.Next(ctx, page)
			older := page.Pings
			pings = slices.Concat(older[max(0, len(older)+len(pings)-q.Limit):], pings)
		}
		if err != nil {
			yield(Ping{}, err)
			return
		}
		for _, p := range pings {
			if !yield(p, nil) {
				return
			}
		}
	}
}
