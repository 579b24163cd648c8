package main

import (
	"fmt"
	"strconv"
)

// goal is what a row is held to: its ratio, or its value where it has no base.
type goal struct {
	kind  string // "" for none, ">=" or "<="
	bound float64
}

func atLeast(bound float64) goal { return goal{kind: ">=", bound: bound} }
func atMost(bound float64) goal  { return goal{kind: "<=", bound: bound} }

// met compares without rounding.
func (g goal) met(v float64) bool {
	if g.kind == ">=" {
		return v >= g.bound
	}
	return v <= g.bound
}

func (g goal) String() string {
	if g.kind == "" {
		return ""
	}
	return g.kind + " " + strconv.FormatFloat(g.bound, 'g', -1, 64)
}

// row is one line of the table: a series, and maybe the one it is divided by.
type row struct {
	measure string
	title   string
	unit    string
	series  string
	base    string // the series to compare with, "" for none
	against string // what base is, for people
	goal    goal
	// stretch is a goal that was hoped for.
	stretch bool
}

// The baselines, as the table calls them.
const (
	helloName  = "(a) net/http hello"
	pubsubName = "(b) pubsub"
	overHTTP   = "(c) pubsub over HTTP"
	relayName  = "(d) stream relay"
	bareName   = "(e) bare host"
	nodeName   = "Node.js node"
	kuboName   = "kubo"
)

// rows lists the table but for what depends on the sizes of ledgers.
func rows() []row {
	return []row{
		{measure: "http", title: "HTTP to the far end", unit: "pings/s", series: "http/p2ping", base: "http/pubsub", against: overHTTP, goal: atLeast(6)},
		{measure: "http", title: "HTTP to the far end", unit: "pings/s", series: "http/p2ping", base: "http/hello", against: helloName, goal: atLeast(0.5)},
		{measure: "http", title: "HTTP to the far end", unit: "pings/s", series: "http/p2ping", base: "http/node", against: nodeName},
		{measure: "http", title: "  acknowledged, not in all ledgers", unit: "pings", series: "http/p2ping lost", goal: atMost(0)},
		{measure: "http", title: "  pings an entry", series: "http/p2ping batch"},
		{measure: "http", title: "  lost by (c)", unit: "%", series: "http/pubsub lost"},
		{measure: "http", title: "  CPU of the three nodes", unit: "s/100k", series: "http/p2ping cpu", base: "http/pubsub cpu", against: overHTTP},
		{measure: "http", title: "    of the near one", unit: "us/ping", series: "http/p2ping cpu near", base: "http/pubsub cpu near", against: overHTTP},
		{measure: "http", title: "    of the middle one", unit: "us/ping", series: "http/p2ping cpu middle", base: "http/pubsub cpu middle", against: overHTTP},
		{measure: "http", title: "    of the far one", unit: "us/ping", series: "http/p2ping cpu far", base: "http/pubsub cpu far", against: overHTTP},

		{measure: "bulk", title: "bulk, POST /pings", unit: "pings/s", series: "bulk/p2ping", base: "bulk/pubsub", against: pubsubName, goal: atLeast(40)},
		{measure: "bulk", title: "bulk, POST /pings", unit: "pings/s", series: "bulk/p2ping", base: "bulk/relay", against: relayName, goal: atLeast(0.3), stretch: true},
		{measure: "bulk", title: "  acknowledged, not in all ledgers", unit: "pings", series: "bulk/p2ping lost", goal: atMost(0)},
		{measure: "bulk", title: "  pings an entry", series: "bulk/p2ping batch"},
		{measure: "bulk", title: "  lost by (b)", unit: "%", series: "bulk/pubsub lost"},
		{measure: "bulk", title: "  CPU of the three nodes", unit: "s/100k", series: "bulk/p2ping cpu", base: "bulk/pubsub cpu", against: pubsubName},
		{measure: "bulk", title: "    of the near one", unit: "us/ping", series: "bulk/p2ping cpu near", base: "bulk/pubsub cpu near", against: pubsubName},
		{measure: "bulk", title: "    of the middle one", unit: "us/ping", series: "bulk/p2ping cpu middle", base: "bulk/pubsub cpu middle", against: pubsubName},
		{measure: "bulk", title: "    of the far one", unit: "us/ping", series: "bulk/p2ping cpu far", base: "bulk/pubsub cpu far", against: pubsubName},

		{measure: "overload", title: "overload: lost without a word", unit: "pings", series: "overload/p2ping silent", goal: atMost(0)},
		{measure: "overload", title: "  neither taken nor refused as busy", unit: "pings", series: "overload/p2ping failed", goal: atMost(0)},
		{measure: "overload", title: "  refused with 429, 503 or 507", unit: "%", series: "overload/p2ping refused"},
		{measure: "overload", title: "  taken", unit: "pings/s", series: "overload/p2ping taken"},
		{measure: "overload", title: "  lost by (b) without a word", unit: "%", series: "overload/pubsub silent"},

		{measure: "latency", title: "200/s, curl to the far stream: p50", unit: "ms", series: "latency/p2ping p50", base: "latency/pubsub p50", against: pubsubName, goal: atMost(1.1)},
		{measure: "latency", title: "200/s, curl to the far stream: p50", unit: "ms", series: "latency/p2ping p50", base: "latency/pubsub p50", against: pubsubName, goal: atMost(0.8), stretch: true},
		{measure: "latency", title: "  p99", unit: "ms", series: "latency/p2ping p99", base: "latency/pubsub p99", against: pubsubName},
		{measure: "latency", title: "  the same to the far subscription: p50", unit: "ms", series: "latency/p2ping p50", base: "latency/pubsub by HTTP p50", against: overHTTP},
		{measure: "latency", title: "  curl itself: p50", unit: "ms", series: "latency/p2ping answer", base: "latency/hello answer", against: helloName},

		{measure: "wire", title: "wire bytes a payload byte, " + strconv.Itoa(wireSize) + " B pings", unit: "B/B", series: "wire/p2ping", base: "wire/pubsub", against: pubsubName, goal: atMost(0.65)},

		{measure: "memory", title: "idle RSS", unit: "MB", series: "memory/p2ping", base: "memory/bare", against: bareName, goal: atMost(1.15)},
		{measure: "memory", title: "idle RSS", unit: "MB", series: "memory/p2ping", base: "memory/node", against: nodeName, goal: atMost(0.5)},
		{measure: "memory", title: "idle RSS", unit: "MB", series: "memory/p2ping", base: "memory/kubo", against: kuboName, goal: atMost(0.4)},
		{measure: "memory", title: "  of it anonymous", unit: "MB", series: "memory/p2ping anon", base: "memory/bare anon", against: bareName},
		{measure: "memory", title: fmt.Sprintf("RSS connected, used, %s entries", grouped(usedEntries)), unit: "MB", series: "memory/p2ping used", base: "memory/bare", against: bareName, goal: atMost(2)},
		{measure: "memory", title: "  of it anonymous", unit: "MB", series: "memory/p2ping used anon", base: "memory/bare anon", against: bareName},

		{measure: "start", title: "start to API ready, empty ledger", unit: "ms", series: "start/p2ping", base: "start/bare", against: bareName, goal: atMost(1.5)},
		{measure: "start", title: "  the very first: no key, no ledger", unit: "ms", series: "start/p2ping first", base: "start/bare", against: bareName, goal: atMost(1.5)},
		{measure: "start", title: "  against the Node.js node", unit: "ms", series: "start/p2ping", base: "start/node", against: nodeName},
		{measure: "start", title: "  against kubo", unit: "ms", series: "start/p2ping", base: "start/kubo", against: kuboName},
	}
}

// sizedRows are the rows of ledgers that grow: the cost of an entry is compared
// with the cost in the smallest.
func sizedRows(sizes []int) []row {
	var out []row
	for i, n := range sizes {
		at := ", " + grouped(int64(n)) + " entries"
		key := func(s string) string { return sized(s, n) }
		first := func(s string) string {
			if i == 0 {
				return ""
			}
			return sized(s, sizes[0])
		}
		smallest := "at " + grouped(int64(sizes[0]))
		var memoryGoal, startGoal goal
		if n == 1_000_000 {
			memoryGoal, startGoal = atMost(128), atMost(3000)
		}
		out = append(out,
			row{measure: "ledger", title: "append, 1,000 a commit" + at, unit: "us/entry", series: key("ledger/append"), base: first("ledger/append"), against: smallest},
			row{measure: "ledger", title: "  append and fsync of one", unit: "ms", series: key("ledger/one"), base: first("ledger/one"), against: smallest},
			row{measure: "ledger", title: "  digest, nothing cached", unit: "ms", series: key("ledger/digest")},
			row{measure: "ledger", title: "  digest after one append", unit: "ms", series: key("ledger/digest again"), base: first("ledger/digest again"), against: smallest},
			row{measure: "ledger", title: "  last 100 pings", unit: "ms", series: key("ledger/last"), base: first("ledger/last"), against: smallest},
			row{measure: "ledger", title: "  find the oldest by its id alone", unit: "ms", series: key("ledger/find"), base: first("ledger/find"), against: smallest},
			row{measure: "ledger", title: "  file", unit: "MB", series: key("ledger/file")},
			row{measure: "ledger", title: "  p2ping: start to API ready", unit: "ms", series: key("ledger/start"), goal: startGoal},
			row{measure: "ledger", title: "  p2ping: RSS above an idle node's", unit: "MiB", series: key("ledger/memory"), goal: memoryGoal},
			row{measure: "ledger", title: "  /events: resumed 100 pings back, to the last", unit: "ms", series: key("ledger/stream resume"), base: first("ledger/stream resume"), against: smallest},
			row{measure: "ledger", title: "    bytes read", unit: "B/ping", series: key("ledger/stream bytes"), base: first("ledger/stream bytes"), against: smallest},
			row{measure: "ledger", title: "  /events: resumed at the end, to the next ping", unit: "ms", series: key("ledger/stream next"), base: first("ledger/stream next"), against: smallest},
			row{measure: "ledger", title: "    CPU of the node, one follows", unit: "us/ping", series: key("ledger/stream cpu"), base: first("ledger/stream cpu"), against: smallest},
			row{measure: "ledger", title: fmt.Sprintf("      for each more, up to %d", crowd), unit: "us/ping", series: key("ledger/stream cpu more"), base: first("ledger/stream cpu more"), against: smallest},
		)
	}
	return append(out, catchUpRows(sizes)...)
}

func sized(series string, n int) string { return series + " " + strconv.Itoa(n) }

// catchUpRows are the rows of two ledgers that differ.
func catchUpRows(sizes []int) []row {
	var out []row
	for _, n := range sizes {
		for _, g := range gaps(n) {
			title := fmt.Sprintf("catch-up, %s entries, %s", grouped(int64(n)), g)
			var bytesGoal, roundsGoal, rateGoal goal
			switch {
			case g.missing == 0:
				bytesGoal, roundsGoal = atMost(100), atMost(1)
			case n == 1_000_000 && g.missing == 1000 && !g.scattered:
				bytesGoal, roundsGoal = atMost(40), atMost(4)
			case g.missing == n:
				rateGoal = atLeast(5000)
			}
			unit, name := "B/difference", "  bytes beside the entries"
			if g.missing == 0 {
				unit, name = "B", "  bytes"
			}
			out = append(out,
				row{measure: "catchup", title: title, unit: "ms", series: g.series("time", n)},
				row{measure: "catchup", title: name, unit: unit, series: g.series("bytes", n), goal: bytesGoal},
				row{measure: "catchup", title: "  rounds", unit: "", series: g.series("rounds", n), goal: roundsGoal})
			if g.missing > 0 {
				out = append(out, row{measure: "catchup", title: "  entries a second of CPU", unit: "1/s", series: g.series("rate", n), goal: rateGoal})
			}
		}
	}
	return out
}
