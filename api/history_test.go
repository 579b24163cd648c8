package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"p2ping/api/client"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// page gets one page of history.
func (a *testAPI) page(tb testing.TB, path string) client.Pings {
	tb.Helper()
	answer, body := a.do(tb, "GET", path, "")
	var p client.Pings
	if err := json.Unmarshal([]byte(body), &p); err != nil || answer.StatusCode != http.StatusOK {
		tb.Fatalf("%s: %d %s", path, answer.StatusCode, body)
	}
	want := ""
	if p.Next != "" {
		want = "<" + p.Next + `>; rel="next"`
	}
	if got := answer.Header.Get("Link"); got != want {
		tb.Errorf("Link: %q, next: %q", got, p.Next)
	}
	return p
}

func textsOf(pings []client.Ping) []string {
	texts := []string{}
	for _, p := range pings {
		texts = append(texts, p.Text)
	}
	return texts
}

// append puts one entry into the ledger.
func (n *fakeNode) append(tb testing.TB, via ledger.Via, at time.Time, texts ...string) *entry.Entry {
	tb.Helper()
	e, err := n.sign(at, texts...)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := n.ledger.Append(tb.Context(), via, e); err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestHistoryGoesByTimeAndByPages(t *testing.T) {
	a := start(t)
	from := time.Now().Add(-time.Hour).Truncate(time.Second)
	var want []string
	// Arrival is in reverse.
	for i := 49; i >= 0; i-- {
		var texts []string
		for j := range i%3 + 1 {
			texts = append(texts, fmt.Sprint(i, ".", j))
		}
		a.node.append(t, ledger.CatchUp, from.Add(time.Duration(i)*time.Second), texts...)
		want = append(texts, want...)
	}
	for _, limit := range []int{1, 2, 3, 7, 98, 99, 100} {
		var got []string
		pages := 0
		for next := fmt.Sprint("/pings?limit=", limit); next != ""; pages++ {
			p := a.page(t, next)
			if len(p.Pings) > limit || len(p.Pings) == 0 {
				t.Fatalf("limit %d: a page of %d", limit, len(p.Pings))
			}
			got = append(textsOf(p.Pings), got...)
			next = p.Next
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: got %q, want %q", limit, got, want)
		}
		if least := (len(want) + limit - 1) / limit; pages != least {
			t.Errorf("limit %d: %d pages, not %d", limit, pages, least)
		}
	}
	answer, body := a.do(t, "GET", "/pings", "", "Accept", "application/x-ndjson")
	var got []string
	for line := range strings.Lines(body) {
		var p client.Ping
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Text)
	}
	if !slices.Equal(got, want) || answer.Header.Get("Content-Type") != ndjson {
		t.Errorf("NDJSON: got %q", got)
	}
}

func TestHistorySelects(t *testing.T) {
	a := start(t)
	from := time.Now().Add(-time.Hour).Truncate(time.Second)
	other := &fakeNode{key: testKey(t, 1)}
	first := a.node.append(t, ledger.Own, from, "a", "b", "c")
	stranger, err := other.sign(from.Add(time.Minute), "x", "y")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.node.ledger.Append(t.Context(), ledger.Gossip, stranger); err != nil {
		t.Fatal(err)
	}
	last := a.node.append(t, ledger.Own, from.Add(30*time.Minute), "p", "q")
	id := func(e *entry.Entry, i int) string { return fmt.Sprint(e.ID, "-", i) }
	at := func(d time.Duration) string { return url.QueryEscape(from.Add(d).Format(time.RFC3339)) }
	for query, want := range map[string]string{
		"":                           "abcxypq",
		"limit=3":                    "ypq",
		"since=0":                    "abcxypq",
		"since=45m":                  "pq",
		"since=24h&until=45m":        "abcxy",
		"since=" + at(time.Minute):   "xypq",
		"until=" + at(time.Minute):   "abc",
		"since=" + at(time.Hour):     "",
		"since=" + id(first, 0):      "bcxypq",
		"since=" + id(first, 2):      "xypq",
		"since=" + first.ID.String(): "xypq",
		"until=" + id(first, 2):      "ab",
		"until=" + id(first, 0):      "",
		"until=" + last.ID.String():  "abcxy",
		"since=" + id(first, 1) + "&until=" + id(last, 1):      "cxyp",
		"since=" + id(first, 0) + "&until=" + id(first, 2):     "b",
		"author=" + stranger.Author.String():                   "xy",
		"author=" + a.node.id.String() + "&limit=4":            "bcpq",
		"author=" + a.node.id.String() + "&since=45m":          "pq",
		"format=json&limit=1":                                  "q",
		"since=" + id(first, 1) + "&until=" + id(stranger, 99): "cxy",
	} {
		if got := strings.Join(textsOf(a.page(t, "/pings?"+query).Pings), ""); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]int{
		"since=yesterday": 400, "until=-5m": 400, "limit=0": 400, "limit=1001": 400, "limit=x": 400, "author=x": 400,
		"before=x": 400, "format=xml": 400, "follow=2": 400, "recent=3": 400, "unknown=1": 400, "since=5-1": 400,
		"since=" + strings.Repeat("0", 64): 404, "follow=1&until=5m": 400, "follow=1&limit=5": 400, "follow=1&format=json": 400,
		"since=99999999999999999999": 400,
	} {
		if answer, body := a.do(t, "GET", "/pings?"+query, ""); answer.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", query, answer.StatusCode, body, want)
		}
	}
}

func TestPingsSayWhereTheyCameFrom(t *testing.T) {
	a := start(t)
	at := time.UnixMicro(time.Now().Add(-time.Minute).UnixMicro())
	for _, via := range []ledger.Via{ledger.Own, ledger.Gossip, ledger.CatchUp, ledger.Import} {
		a.node.append(t, via, at, via.String(), `"\`)
	}
	pings := a.page(t, "/pings").Pings
	if len(pings) != 8 {
		t.Fatalf("got %+v", pings)
	}
	for _, p := range pings {
		if p.Text != `"\` && p.Via != p.Text || !p.Self || p.Author != a.node.id.String() || p.ReceivedAt.Before(at) {
			t.Errorf("got %+v", p)
		}
	}
}

func TestPageMarksAreReadBack(t *testing.T) {
	for _, want := range []spot{{}, {entry.Key{Time: 1 << 50, ID: entry.ID{1, 2, 255}}, 999}} {
		if got, ok := parsePage(formatPage(want)); !ok || got != want {
			t.Errorf("%+v became %+v", want, got)
		}
	}
}

func FuzzMarks(f *testing.F) {
	n := newFakeNode(f)
	s, err := New(Config{Node: n})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"10m", "5-1", "5-1-0000abcd", "2026-01-02T15:04:05Z", strings.Repeat("ab", 32) + "-7", "", "-", "AAAA.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if p, ok := parsePosition(v); ok {
			if q, ok := parsePosition(p.String()); !ok || p != q {
				t.Errorf("position %q became %q", v, p)
			}
		}
		if at, ok := parsePage(v); ok && formatPage(at) != v && !strings.Contains(v, ".0") {
			t.Errorf("page %q became %q", v, formatPage(at))
		}
		m, err := s.parseMark("since", v)
		if err == nil && m.cursor != nil {
			f := follower{ledger: n.Ledger()}
			f.begin(*m.cursor)
			if f.at.beyond(n.Ledger().State().Last) {
				t.Errorf("%q begins at %s", v, f.at)
			}
		}
		if err == nil && m.cursor == nil && m.id == nil { // which the ledger lacks
			if _, err := s.inArrival(t.Context(), m); err != nil {
				t.Errorf("%q: %v", v, err)
			}
		}
	})
}
