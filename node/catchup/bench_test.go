package catchup

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// BenchmarkCompare makes two sets equal that are n large and differ by d: what
// one of them lacks. It reports, besides time, what all sessions together took
// until the last one said equal: frames in bytes, for each difference too, and
// the most round trips of one session. The sets are in memory, and of the
// entries only the keys change hands.
func BenchmarkCompare(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		all := keysOf("all", 0, n)
		for _, d := range []int{0, 1, 100, 1000, 10_000} {
			for _, scattered := range []bool{false, true} {
				if d >= n || d < 2 && scattered {
					continue
				}
				b.Run(fmt.Sprintf("n=%d/d=%d/scattered=%t", n, d, scattered), func(b *testing.B) {
					benchmarkCompare(b, all, d, scattered)
				})
			}
		}
	}
}

func benchmarkCompare(b *testing.B, all []entry.Key, d int, scattered bool) {
	b.Helper()
	var rest []entry.Key
	for i, k := range all {
		lacks := i >= len(all)/2 && i < len(all)/2+d
		if scattered {
			each := len(all) / d
			lacks = i%each == each/2
		}
		if !lacks {
			rest = append(rest, k)
		}
	}
	full := newMemory(all...)
	var bytes, trips, sessions int
	for b.Loop() {
		b.StopTimer()
		poor := newMemory(rest...)
		bytes, trips, sessions = 0, 0, 0
		b.StartTimer()
		for equal := false; !equal; {
			got := converse(b, poor, full, maxTurnEntries)
			bytes += got.bytes
			trips = max(trips, got.trips)
			sessions++
			equal = got.equal
		}
	}
	b.ReportMetric(float64(bytes), "bytes")
	b.ReportMetric(float64(trips), "trips")
	b.ReportMetric(float64(sessions), "sessions")
	if d > 0 {
		b.ReportMetric(float64(bytes)/float64(d), "bytes/difference")
	}
}

// TestCost holds the promise of the benchmark's most important line: at a
// million entries, a contiguous gap of a thousand, on either side.
func TestCost(t *testing.T) {
	if testing.Short() {
		t.Skip("a million entries")
	}
	const n, d = 1_000_000, 1000
	all := keysOf("all", 0, n)
	full := newMemory(all...)
	for _, initiator := range []bool{true, false} {
		poor := newMemory(slices.Concat(all[:n/3], all[n/3+d:])...)
		a, b := full, poor
		if initiator {
			a, b = poor, full
		}
		got := converse(t, a, b, maxTurnEntries)
		t.Logf("the initiator lacks it %t: %+v", initiator, got)
		if got.bytes > 40*d || got.trips > 4 || got.moved != d || got.left {
			t.Error("more than 40 bytes a difference, or than 4 round trips, or not all")
		}
		if got := converse(t, a, b, maxTurnEntries); !got.equal || got.bytes >= 100 || got.trips != 1 {
			t.Errorf("equal: %+v", got)
		}
	}
}

// BenchmarkLateJoiner has one node that holds nothing take everything from
// another, with real ledgers on disk, signatures checked. It reports entries
// for each second of processor time that both nodes together spent.
func BenchmarkLateJoiner(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const n = 20_000
	var all []*entry.Entry
	for i := range n {
		all = append(all, entryAt(epoch+int64(i)*1000, fmt.Sprint("ping ", i)))
	}
	full := open(b)
	if _, err := full.Append(b.Context(), ledger.Gossip, all...); err != nil {
		b.Fatal(err)
	}
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		poor := open(b)
		b.StartTimer()
		start := cpuTime()
		for poor.State().Entries < n {
			meet(b, poor, full)
		}
		spent += cpuTime() - start
	}
	if spent > 0 {
		b.ReportMetric(float64(n)*float64(b.N)/spent.Seconds(), "entries/s/core")
	}
}

func open(tb testing.TB) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.Open(ledger.Config{Path: filepath.Join(tb.TempDir(), "ledger.db")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// meet has one session over a pipe.
func meet(tb testing.TB, initiator, responder Store) (ours, theirs outcome) {
	tb.Helper()
	x, y := net.Pipe()
	defer x.Close()
	defer y.Close()
	start := func(store Store, s stream) *session {
		cfg := Config{Ledger: store, Topic: topic, Admit: admitAll, Now: time.Now}
		return newSession(cfg, true, s, seasoning())
	}
	a, b := start(initiator, x), start(responder, y)
	done := make(chan error, 1)
	go func() { done <- b.respond(context.Background()) }()
	if err := a.initiate(context.Background()); err != nil {
		tb.Fatal(err)
	}
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	return a.outcome(), b.outcome()
}

// TestLedgers has sessions between real ledgers, whose fingerprints must be the
// ones that this package computes of parts.
func TestLedgers(t *testing.T) {
	var all []*entry.Entry
	for i := range 3000 {
		all = append(all, entryAt(epoch+int64(i)*100, fmt.Sprint("ping ", i)))
	}
	a, b := open(t), open(t)
	for l, entries := range map[*ledger.Ledger][]*entry.Entry{a: append(all[:1000:1000], all[1500:]...), b: all[200:2900]} {
		if _, err := l.Append(t.Context(), ledger.Gossip, entries...); err != nil {
			t.Fatal(err)
		}
	}
	ours, theirs := meet(t, a, b)
	if ours.added != 500 || theirs.added != 300 || ours.missing+ours.extra+theirs.missing+theirs.extra != 0 {
		t.Errorf("%+v\n%+v", ours, theirs)
	}
	if n := ours.bytesIn + ours.bytesOut; n > 800*(len(all[0].Raw)+2)+30_000 {
		t.Errorf("%d bytes", n)
	}
	if ours, _ := meet(t, a, b); !ours.equal || ours.bytesIn+ours.bytesOut >= 100 {
		t.Errorf("%+v", ours)
	}
	x, state, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if y, _, err := b.Digest(); err != nil || x != y || state.Entries != 3000 {
		t.Errorf("%d entries, digests %s and %s, %v", state.Entries, x, y, err)
	}
}
