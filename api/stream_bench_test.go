package api

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"p2ping/node/ledger"
)

// BenchmarkStalledReaders follows one flow of pings with 100 readers of which
// ten read nothing, and prints what the other 90 get and what it costs.
func BenchmarkStalledReaders(b *testing.B) {
	const readers, stalled, batch = 100, 10, 100
	n := newFakeNode(b)
	a := serve(b, n, Config{Node: n})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var reading sync.WaitGroup
	entries := b.N/batch + 1
	for i := range readers {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/events?topics=ping", nil)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := transport.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		defer answer.Body.Close()
		if i < stalled {
			continue
		}
		reading.Go(func() {
			events := newLines(answer.Body, 1<<16)
			for got := 0; got < entries*batch; {
				line, err := events.next()
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) > 5 && string(line[:5]) == "data:" {
					got++
				}
			}
		})
	}
	texts := make([]string, batch)
	for i := range texts {
		texts[i] = "a ping of the usual length, more or less"
	}
	b.ResetTimer()
	begin := time.Now()
	for range entries {
		n.append(b, ledger.Gossip, time.Now(), texts...)
	}
	reading.Wait()
	took := time.Since(begin)
	b.StopTimer()
	total := int64(entries) * batch * (readers - stalled)
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(total)/took.Seconds(), "events/s")
	b.ReportMetric(float64(int64(after.HeapInuse)-int64(before.HeapInuse))/readers/1024, "KiB/reader")
	cancel()
}
