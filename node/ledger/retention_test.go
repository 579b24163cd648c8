package ledger

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"p2ping/node/entry"
)

func TestAgeFloor(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		now  string
		age  time.Duration
		want string
	}{
		{"2026-01-08T10:59:59.999Z", 7 * 24 * time.Hour, "2026-01-01T10:00:00Z"},
		{"2026-01-08T11:00:00Z", 7 * 24 * time.Hour, "2026-01-01T11:00:00Z"},
		{"2026-01-08T11:00:00Z", 365 * 24 * time.Hour, "2025-01-08T11:00:00Z"},
		{"2026-01-08T11:00:10.5Z", 10 * time.Second, "2026-01-08T11:00:00Z"},
		{"1970-01-01T00:00:05Z", 10 * time.Second, "1970-01-01T00:00:00Z"},
		{"2026-01-08T11:00:00Z", 0, "1970-01-01T00:00:00Z"},
	} {
		if got := ageFloor(at(tt.now), tt.age); got != at(tt.want).UnixMilli() {
			t.Errorf("%s less %s: got %s, want %s", tt.now, tt.age, time.UnixMilli(got).UTC(), tt.want)
		}
	}
}

func TestAgeStep(t *testing.T) {
	for _, tt := range []struct{ age, want time.Duration }{
		{time.Minute, time.Second},
		{168 * time.Minute, time.Minute},
		{7 * 24 * time.Hour, time.Hour},
		{1000 * time.Hour, time.Hour},
		{500 * time.Second, 2976 * time.Millisecond},
	} {
		if got := ageStep(tt.age); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.age, got, tt.want)
		}
	}
}

// times makes one entry for each of the times.
func times(t *testing.T, ms ...int64) []*entry.Entry {
	t.Helper()
	var entries []*entry.Entry
	for i, m := range ms {
		entries = append(entries, fake(t, uint64(i), m, "hello"))
	}
	return entries
}

func TestPrune(t *testing.T) {
	size := rowOf(Record{Entry: fake(t, 0, 10_000, "hello")}).bytes()
	for _, tt := range []struct {
		name   string
		limits limits
		now    int64
		times  []int64
		floor  int64
		kept   int
	}{
		{"no limit", limits{}, 99_000, []int64{10_001, 10_002}, 0, 2},
		{"by age", limits{age: 10 * time.Second}, 20_500, []int64{9_999, 10_000, 10_001}, 10_000, 2},
		{"by age, all", limits{age: 10 * time.Second}, 99_000, []int64{9_999, 10_000, 10_001}, 89_000, 0},
		{"by number", limits{entries: 2}, 99_000, []int64{10_001, 10_002, 10_003, 10_004}, 10_003, 2},
		{"by number, exactly", limits{entries: 4}, 99_000, []int64{10_001, 10_002, 10_003, 10_004}, 0, 4},
		{"by number, ties go together", limits{entries: 2}, 99_000, []int64{10_001, 10_002, 10_002, 10_002, 10_003}, 10_003, 1},
		{"by number, all of one time", limits{entries: 2}, 99_000, []int64{10_001, 10_001, 10_001}, 10_002, 0},
		{"by number, not above now", limits{entries: 2}, 10_002, []int64{10_001, 10_002, 10_003, 10_004, 10_005}, 10_002, 4},
		{"by bytes", limits{bytes: 2 * size * 32 / 31}, 99_000, []int64{10_001, 10_002, 10_003, 10_004}, 10_003, 2},
		{"by bytes, not one fits", limits{bytes: size - 1}, 99_000, []int64{10_001, 10_002}, 10_003, 0},
		{"the highest floor wins: number", limits{age: 10 * time.Second, entries: 1}, 20_000, []int64{9_000, 10_001, 10_002}, 10_002, 1},
		{"the highest floor wins: age", limits{age: 10 * time.Second, entries: 2}, 20_000, []int64{9_000, 9_001, 9_002, 10_002}, 10_000, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, Config{
				NoSync:     true,
				Retention:  tt.limits.age,
				MaxEntries: int(tt.limits.entries),
				MaxBytes:   tt.limits.bytes,
			})
			e := times(t, tt.times...)
			add(t, l, e...)
			if err := l.Prune(timeOf(tt.now)); err != nil {
				t.Fatal(err)
			}
			if s := l.State(); s.Floor != tt.floor || s.Entries != tt.kept || s.Bytes != int64(tt.kept)*size {
				t.Errorf("got floor %d, %d entries, %d bytes; want floor %d, %d entries", s.Floor, s.Entries, s.Bytes, tt.floor, tt.kept)
			}
			kept := e[len(e)-tt.kept:]
			sameKeys(t, l, kept)
			// What is below the floor stays forgotten, and the floor never sinks.
			add(t, l, e...)
			if err := l.Prune(timeOf(0)); err != nil {
				t.Fatal(err)
			}
			l = reopen(t, l, Config{})
			if s := l.State(); s.Floor != tt.floor {
				t.Errorf("the floor sank to %d", s.Floor)
			}
			sameKeys(t, l, kept)
			if s := l.State(); s.First != uint64(len(e)-tt.kept+1) || s.Last != uint64(len(e)) {
				t.Errorf("got cursors %d to %d", s.First, s.Last)
			}
		})
	}
}

// A full ledger's floor rises in steps.
func TestPruneLeavesSomeRoom(t *testing.T) {
	l := open(t, Config{NoSync: true, MaxEntries: 320})
	e := fakes(t, 400, 1000)
	add(t, l, e[:321]...)
	if err := l.Prune(timeOf(99_000)); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, l, e[11:321])
	add(t, l, e[321:331]...)
	if err := l.Prune(timeOf(99_000)); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, l, e[11:331])
}

// The floor counts as soon as it is on disk, wherever deleting has got to.
func TestFloorComesBeforeDeleting(t *testing.T) {
	l := open(t, Config{Retention: 10 * time.Second})
	e := fakes(t, 2*pruneStep+500, 10_000)
	add(t, l, e...)
	inner, n := l.change, 0
	l.change = func(f func(*bbolt.Tx) error) error {
		if n++; n == 3 { // the floor, one step, and then
			return errors.New("a test's power failure")
		}
		return inner(f)
	}
	kept := e[2*pruneStep:]
	now := timeOf(kept[0].Time).Add(10 * time.Second)
	if err := l.Prune(now); err == nil {
		t.Fatal("no error")
	}
	check := func() {
		t.Helper()
		sameKeys(t, l, kept)
		if got := arrivals(t, l, 1000); len(got) != len(kept) {
			t.Errorf("got %d in order of arrival", len(got))
		}
		if l.Has(e[pruneStep+1].Key()) {
			t.Error("Has knows what is below the floor")
		}
		if _, err := l.Get(e[pruneStep+1].Key()); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get: got %v", err)
		}
	}
	check()
	l = reopen(t, l, Config{Retention: 10 * time.Second})
	check()
	if err := l.Prune(now); err != nil {
		t.Fatal(err)
	}
	check()
	if n := stored(t, l); n != len(kept) {
		t.Errorf("%d records are in the file", n)
	}
}

// stored counts the records in the file's log, the invisible ones too.
func stored(t *testing.T, l *Ledger) int {
	t.Helper()
	n := 0
	err := l.view(func(s snapshot) error {
		n = s.log.Stats().KeyN
		if m := s.index.Stats().KeyN; m != n {
			t.Errorf("%d rows for %d records", m, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRunPrunes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := open(t, Config{NoSync: true, Retention: time.Hour, MaxEntries: 100})
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		start := time.Now().UnixMilli()
		add(t, l, fakes(t, 101, start-1000)...)
		synctest.Wait()
		if n := l.State().Entries; n != 97 {
			t.Errorf("over the number: %d entries", n)
		}
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if s := l.State(); s.Entries != 0 || s.Floor <= start {
			t.Errorf("after an hour: %+v", s)
		}
		time.Sleep(48 * time.Hour) // scrubs go by
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
