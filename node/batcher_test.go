package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"p2ping/node/entry"
)

// published answers a batch as publishEntry does.
func publishedFrom(pings []entry.Ping) []Published {
	out := make([]Published, len(pings))
	for i, p := range pings {
		out[i] = Published{Text: p.Text, Index: i}
	}
	return out
}

func texts(all ...string) []entry.Ping {
	pings := make([]entry.Ping, len(all))
	for i, text := range all {
		pings[i] = entry.Ping{Text: text, SentAt: time.Now().UnixMicro()}
	}
	return pings
}

func TestBatcherTakesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var batches [][]entry.Ping
		b := newBatcher(func(_ context.Context, pings []entry.Ping) ([]Published, error) {
			batches = append(batches, pings)
			time.Sleep(time.Millisecond) // a commit
			return publishedFrom(pings), nil
		})
		var work sync.WaitGroup
		work.Go(func() { b.run(ctx) })
		for i := range 100 {
			work.Go(func() {
				text := fmt.Sprint(i)
				got, err := b.submit(ctx, texts(text))
				if err != nil || len(got) != 1 || got[0].Text != text {
					t.Errorf("submit(%q) = %v, %v: want its own ping back", text, got, err)
				}
			})
		}
		synctest.Wait()
		time.Sleep(time.Second)
		cancel()
		work.Wait()
		total := 0
		for _, batch := range batches {
			total += len(batch)
		}
		// Those that came while the first was under way share the second.
		if total != 100 || len(batches) > 3 {
			t.Errorf("100 pings became %d pings in %d entries: want 100 in at most 3", total, len(batches))
		}
	})
}

// timed runs a batcher whose entries take as long as given, calls f, and returns
// how many pings each entry had.
func timed(t *testing.T, took time.Duration, f func(*batcher)) (sizes []int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := newBatcher(func(_ context.Context, pings []entry.Ping) ([]Published, error) {
		sizes = append(sizes, len(pings))
		time.Sleep(took)
		return publishedFrom(pings), nil
	})
	var work sync.WaitGroup
	work.Go(func() { b.run(ctx) })
	f(b)
	cancel()
	work.Wait()
	return sizes
}

// repeat has callers publish a ping each, rounds times, and pause in between.
func repeat(t *testing.T, b *batcher, callers, rounds int, pause func(caller int) time.Duration) {
	t.Helper()
	var work sync.WaitGroup
	for i := range callers {
		work.Go(func() {
			for range rounds {
				if _, err := b.submit(t.Context(), texts("x")); err != nil {
					t.Error(err)
				}
				time.Sleep(pause(i))
			}
		})
	}
	work.Wait()
}

func TestBatcherGathersThoseWhoComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, rounds = 10, 20
		sizes := timed(t, time.Millisecond, func(b *batcher) {
			// All are back within the time that an entry takes.
			repeat(t, b, callers, rounds, func(i int) time.Duration { return time.Duration(i) * 50 * time.Microsecond })
		})
		// The first entry has whoever came first; two in turn would be 2 * rounds.
		if len(sizes) > rounds+3 {
			t.Errorf("%d callers with %d pings each made entries of %v: want most with one of each", callers, rounds, sizes)
		}
	})
}

func TestBatcherSoonDoubtsThatCallersComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const took, rounds = time.Millisecond, 500
		var spent time.Duration
		timed(t, took, func(b *batcher) {
			for range rounds {
				repeat(t, b, 3, 1, func(int) time.Duration { return 0 }) // nobody comes back
				start := time.Now()
				repeat(t, b, 1, 1, func(int) time.Duration { return 0 })
				spent += time.Since(start)
			}
		})
		// Three make an entry or two, the one an entry.
		if waited, most := spent-rounds*took, (2*rounds/maxDoubt+10)*maxGather; waited > most {
			t.Errorf("%d pings took %v beyond their own time, want %v at most", rounds, waited, most)
		}
	})
}

func TestBatcherGathersAgainAfterDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, rounds = 10, 200
		sizes := timed(t, time.Millisecond, func(b *batcher) {
			for range 100 {
				repeat(t, b, 3, 1, func(int) time.Duration { return 0 })
				repeat(t, b, 1, 1, func(int) time.Duration { return 0 })
			}
			repeat(t, b, callers, rounds, func(i int) time.Duration { return time.Duration(i) * 50 * time.Microsecond })
		})
		// While it is in doubt, those of two entries take turns; and at the end
		// some are done before the others.
		if last := sizes[len(sizes)-rounds/2 : len(sizes)-3]; slices.Min(last) < callers {
			t.Errorf("%d callers who come back made entries of %v", callers, last)
		}
	})
}

func TestBatcherNeverDelaysALoneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const took, rounds = time.Millisecond, 100
		start := time.Now()
		timed(t, took, func(b *batcher) {
			repeat(t, b, 1, rounds, func(int) time.Duration { return 0 })
		})
		if spent := time.Since(start); spent != rounds*took {
			t.Errorf("%d pings in turn took %v, want the %v of each alone", rounds, spent, took)
		}
	})
}

func TestBatcherKeepsToTheBoundsOfAnEntry(t *testing.T) {
	for _, tt := range []struct {
		name  string
		text  string
		count int
		want  []int // pings in each entry
	}{
		{"by count", "x", 2*entry.MaxPings + 1, []int{entry.MaxPings, entry.MaxPings, 1}},
		{"by bytes", strings.Repeat("x", entry.MaxText), 20, []int{15, 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBatcher(nil)
			for range tt.count {
				if err := b.add(&submission{pings: texts(tt.text)}); err != nil {
					t.Fatal(err)
				}
			}
			for i, want := range tt.want {
				pings := b.take().pings
				if len(pings) != want {
					t.Errorf("entry %d holds %d pings, want %d", i, len(pings), want)
				}
				if _, err := entry.EncodeData(pings); err != nil {
					t.Errorf("entry %d: %v", i, err)
				}
			}
			if left := b.take().pings; len(left) != 0 || b.waiting != 0 || b.bytes != 0 {
				t.Errorf("%d pings and %d bytes are left, want none", len(left), b.bytes)
			}
		})
	}
}

func TestBatcherRefuses(t *testing.T) {
	b := newBatcher(nil)
	for range maxWaiting {
		if err := b.add(&submission{pings: texts("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.add(&submission{pings: texts("x")}); !errors.Is(err, ErrBusy) {
		t.Errorf("one ping over the bound: %v, want ErrBusy", err)
	}
	for _, text := range []string{"", strings.Repeat("x", entry.MaxText+1), "\xff"} {
		if _, err := b.submit(t.Context(), texts("good", text)); !errors.Is(err, entry.ErrInvalid) {
			t.Errorf("submit(%.10q): %v, want ErrInvalid", text, err)
		}
	}
}

func TestBatcherTakesBackWhatNobodyWaitsFor(t *testing.T) {
	b := newBatcher(nil) // never run
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.submit(ctx, texts("x", "y"))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "nothing was published") {
		t.Errorf("submit with a context that ended: %v, want that nothing was published", err)
	}
	if len(b.queue) != 0 || b.waiting != 0 || b.bytes != 0 {
		t.Errorf("%d pings and %d bytes still wait, want none", b.waiting, b.bytes)
	}
}

func TestBatcherAnswersWhatWasDoneAsItsCallerLeft(t *testing.T) {
	b := newBatcher(func(_ context.Context, pings []entry.Ping) ([]Published, error) { return publishedFrom(pings), nil })
	s := &submission{pings: texts("x"), done: make(chan struct{})}
	if err := b.add(s); err != nil {
		t.Fatal(err)
	}
	b.flush(t.Context(), b.take())
	if got, err := b.abandon(s, context.Canceled); err != nil || len(got) != 1 {
		t.Errorf("abandon after the end = %v, %v: want the ping that was published", got, err)
	}
}

func TestBatcherAnswersAllWhenItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBatcher(func(_ context.Context, pings []entry.Ping) ([]Published, error) {
			time.Sleep(time.Second)
			return publishedFrom(pings), nil
		})
		var work sync.WaitGroup
		work.Go(func() { b.run(ctx) })
		var first, second error
		work.Go(func() { _, first = b.submit(t.Context(), texts("under way")) })
		synctest.Wait()
		work.Go(func() { _, second = b.submit(t.Context(), texts("waiting")) })
		synctest.Wait()
		cancel()
		work.Wait()
		if first != nil {
			t.Errorf("the ping that was under way: %v, want it finished", first)
		}
		if !errors.Is(second, ErrStopped) {
			t.Errorf("the ping that waited: %v, want ErrStopped", second)
		}
		if _, err := b.submit(t.Context(), texts("late")); !errors.Is(err, ErrStopped) {
			t.Errorf("a ping after the end: %v, want ErrStopped", err)
		}
	})
}

func TestBatcherPublishesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		full := errors.New("full")
		b := newBatcher(func(_ context.Context, pings []entry.Ping) ([]Published, error) {
			if calls++; calls == 2 {
				return nil, full
			}
			return publishedFrom(pings), nil
		})
		var many []entry.Ping
		for i := range 3 * entry.MaxPings { // three entries, of which the second fails
			many = append(many, texts(fmt.Sprint(i))...)
		}
		var work sync.WaitGroup
		work.Go(func() { b.run(ctx) })
		got, err := b.submit(ctx, many)
		if !errors.Is(err, full) || len(got) != entry.MaxPings || calls != 2 {
			t.Errorf("submit = %d pings, %v, after %d entries: want %d, the error, and no entry after the one that failed",
				len(got), err, calls, entry.MaxPings)
		}
		for i, p := range got {
			if p.Text != fmt.Sprint(i) {
				t.Fatalf("ping %d is %q: out of order", i, p.Text)
			}
		}
		if got, err := b.submit(ctx, texts("later")); err != nil || len(got) != 1 {
			t.Errorf("submit after a failure = %v, %v: want it published", got, err)
		}
		cancel()
		work.Wait()
	})
}
