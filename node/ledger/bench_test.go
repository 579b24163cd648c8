package ledger

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"p2ping/node/entry"
)

// million is the size of the benchmarks' large ledger.
var million = flag.Int("entries", 1_000_000, "entries of the large ledger in benchmarks")

// filled returns a ledger with n entries, each of one short ping, 280 bytes in
// all, a millisecond apart.
func filled(b *testing.B, n int) *Ledger {
	b.Helper()
	l := open(b, Config{})
	for from := 0; from < n; from += 5000 {
		add(b, l, benchEntries(b, from, min(5000, n-from))...)
	}
	return l
}

func benchEntries(b *testing.B, from, n int) []*entry.Entry {
	b.Helper()
	text := strings.Repeat("x", 100)
	entries := make([]*entry.Entry, n)
	for i := range entries {
		entries[i] = fake(b, uint64(from+i), 1_700_000_000_000+int64(from+i), text)
	}
	return entries
}

func sizes() []int { return []int{0, *million / 10, *million} }

// BenchmarkAppend measures durable appends to ledgers of several sizes, with
// Run, against the bare wait for a disk: of 1, 8 and 64 callers with one entry
// each, and of one with 100 entries. It must not depend on the size. CPU time is
// that of the whole process, making the entries not included.
func BenchmarkAppend(b *testing.B) {
	b.Run("bare", benchmarkBare)
	for _, n := range sizes() {
		l := filled(b, n)
		next := n
		ctx, cancel := context.WithCancel(b.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("held=%d/callers=%d", n, callers), func(b *testing.B) {
				entries := benchEntries(b, next, b.N)
				next += len(entries)
				benchmarkCallers(b, l, callers, entries)
			})
		}
		b.Run(fmt.Sprintf("held=%d/batch=100", n), func(b *testing.B) {
			entries := benchEntries(b, next, 100*b.N)
			next += len(entries)
			measure(b, func() {
				for part := range slices.Chunk(entries, 100) {
					add(b, l, part...)
				}
			})
		})
		cancel()
		running.Wait()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkBare writes a block to a file of the same length as the journal,
// which has been written before, and waits for the disk.
func benchmarkBare(b *testing.B) {
	j, err := createJournal(filepath.Join(b.TempDir(), "bare"), false)
	if err != nil {
		b.Fatal(err)
	}
	defer j.file.Close()
	block := make([]byte, blockSize)
	measure(b, func() {
		for i := range b.N {
			if _, err := j.file.WriteAt(block, int64(i*blockSize%journalLap)); err != nil {
				b.Fatal(err)
			}
			if err := j.file.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchmarkCallers(b *testing.B, l *Ledger, callers int, entries []*entry.Entry) {
	b.Helper()
	var at atomic.Int64
	measure(b, func() {
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for i := at.Add(1); i <= int64(len(entries)); i = at.Add(1) {
					add(b, l, entries[i-1])
				}
			})
		}
		wg.Wait()
	})
}

// measure reports what f costs for each of b.N operations.
func measure(b *testing.B, f func()) {
	b.Helper()
	b.ResetTimer()
	before := cpuTime()
	f()
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/1e3, "cpu-us/op")
}

// BenchmarkRead measures what is read of a large ledger.
func BenchmarkRead(b *testing.B) {
	l := filled(b, *million)
	first := int64(1_700_000_000_000)
	key := func(i int) entry.Key { return entry.Key{Time: first + int64(i)} }
	held := benchEntries(b, 0, 1000)
	b.Run("digest=cold", func(b *testing.B) {
		for b.Loop() {
			l.prefixes.invalidate(entry.Key{})
			l.prefixes.settle()
			digest(b, l)
		}
	})
	b.Run("digest=warm", func(b *testing.B) {
		for b.Loop() {
			digest(b, l)
		}
	})
	b.Run("digest=after-an-append", func(b *testing.B) {
		entries := benchEntries(b, *million, b.N)
		b.ResetTimer()
		for _, e := range entries {
			b.StopTimer()
			add(b, l, e)
			b.StartTimer()
			digest(b, l)
		}
	})
	for _, n := range []int{100, 10_000, *million} {
		b.Run(fmt.Sprintf("fingerprint=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := l.Fingerprint(key(1), key(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("has=held", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if !l.Has(held[i%1000].Key()) {
				b.Fatal("it has not")
			}
		}
	})
	b.Run("has=new", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			l.Has(key(i % *million))
		}
	})
	b.Run("after=recent", func(b *testing.B) {
		last := l.State().Last
		for b.Loop() {
			if r, err := l.After(last-100, 100); len(r) != 100 || err != nil {
				b.Fatal(len(r), err)
			}
		}
	})
	b.Run("after=disk", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if r, err := l.After(uint64(i*100%(*million/2)), 100); len(r) != 100 || err != nil {
				b.Fatal(len(r), err)
			}
		}
	})
	b.Run("range=100000", func(b *testing.B) {
		for b.Loop() {
			for _, err := range l.Range(key(0), key(100_000)) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func digest(b *testing.B, l *Ledger) {
	b.Helper()
	if _, _, err := l.Digest(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOpen measures how long a large ledger takes to open, and what it
// adds to the process's memory then, after a digest, and after 10,000 appends.
func BenchmarkOpen(b *testing.B) {
	l := filled(b, *million)
	path := l.path
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	anonBefore, fileBefore := resident(b)
	for b.Loop() {
		start := time.Now()
		l, err := Open(Config{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "open-s")
		report := func(when string) {
			anon, file := resident(b)
			b.ReportMetric(anon-anonBefore, when+"-anon-MB")
			b.ReportMetric(file-fileBefore, when+"-file-MB")
		}
		report("open")
		digest(b, l)
		report("digest")
		for range 100 {
			add(b, l, benchEntries(b, int(l.State().Last), 100)...)
		}
		report("append")
		for _, err := range l.Range(entry.Key{}, entry.LastKey()) {
			if err != nil {
				b.Fatal(err)
			}
		}
		report("range")
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(info.Size())/float64(*million), "file-bytes/entry")
}

// resident returns the process's resident memory in MB: its own, and that of
// mapped files.
func resident(b *testing.B) (anon, file float64) {
	b.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("SKIPPED: resident memory is read from /proc")
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "RssAnon: %f kB", &kb); n == 1 {
			anon = kb / 1000
		}
		if n, _ := fmt.Sscanf(line, "RssFile: %f kB", &kb); n == 1 {
			file = kb / 1000
		}
	}
	return anon, file
}

// BenchmarkPrune measures how fast entries are forgotten.
func BenchmarkPrune(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		l := filled(b, *million/10)
		l.limits.age = time.Second
		b.StartTimer()
		start := time.Now()
		if err := l.Prune(timeOf(1_700_000_000_000 + int64(*million))); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(*million/10)/time.Since(start).Seconds(), "entries/s")
	}
}

// BenchmarkRebuild measures how fast records are salvaged.
func BenchmarkRebuild(b *testing.B) {
	l := filled(b, *million/10)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	before, _ := os.Stat(l.path)
	for b.Loop() {
		if _, err := Rebuild(l.path); err != nil {
			b.Fatal(err)
		}
	}
	after, _ := os.Stat(l.path)
	b.Logf("%s: %d bytes, then %d", filepath.Base(l.path), before.Size(), after.Size())
}
