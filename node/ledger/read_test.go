package ledger

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"p2ping/node/entry"
)

func timeOf(ms int64) time.Time { return time.UnixMilli(ms) }

func TestRanges(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 3*pageRecords+7, 1000)
	for _, i := range slices.Backward(e) { // arrival is the reverse of time
		add(t, l, i)
	}
	for _, tt := range []struct {
		name   string
		lo, hi entry.Key
		want   []*entry.Entry
	}{
		{"all", entry.Key{}, entry.LastKey(), e},
		{"none before", entry.Key{}, entry.Key{Time: 1000}, nil},
		{"none after", entry.Key{Time: 9999}, entry.LastKey(), nil},
		{"empty", e[5].Key(), e[5].Key(), nil},
		{"reversed", e[5].Key(), e[4].Key(), nil},
		{"one", e[5].Key(), e[6].Key(), e[5:6]},
		{"half open", e[5].Key(), e[600].Key(), e[5:600]},
		{"to the end", e[700].Key(), entry.LastKey(), e[700:]},
		{"a page", entry.Key{}, e[pageRecords].Key(), e[:pageRecords]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var up, down []*entry.Entry
			for r, err := range l.Range(tt.lo, tt.hi) {
				if err != nil {
					t.Fatal(err)
				}
				up = append(up, r.Entry)
			}
			for r, err := range l.RangeDown(tt.lo, tt.hi) {
				if err != nil {
					t.Fatal(err)
				}
				down = append(down, r.Entry)
			}
			slices.Reverse(down)
			var keys []entry.Key
			for k, err := range l.Keys(tt.lo, tt.hi) {
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, k)
			}
			n, err := l.count(tt.lo, tt.hi)
			if err != nil {
				t.Fatal(err)
			}
			d, m, err := l.Fingerprint(tt.lo, tt.hi)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Builder{}
			for i, w := range tt.want {
				if i >= len(up) || i >= len(down) || i >= len(keys) || up[i].ID != w.ID || down[i].ID != w.ID || keys[i] != w.Key() {
					t.Fatalf("entry %d differs", i)
				}
				lines.WriteString(w.ID.String() + "\n")
			}
			if w := len(tt.want); len(up) != w || len(down) != w || len(keys) != w || n != w || m != w {
				t.Errorf("got %d, %d, %d, %d, %d, want %d", len(up), len(down), len(keys), n, m, w)
			}
			if d != digestOf(lines.String()) {
				t.Errorf("got fingerprint %s", d)
			}
		})
	}
}

// An iterator's body may use the ledger: no transaction is open then.
func TestRangeBodyMayWrite(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 100, 1000)
	add(t, l, e[:50]...)
	n := 0
	for r, err := range l.Range(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Fatal(err)
		}
		if n < 50 {
			add(t, l, e[50+n])
		}
		n++
		if !l.Has(r.Entry.Key()) {
			t.Error("lost one")
		}
	}
	sameKeys(t, l, e)
	for range l.Range(entry.Key{}, entry.LastKey()) {
		break
	}
}

func TestLargeEntriesEndPages(t *testing.T) {
	l := open(t, Config{NoSync: true})
	var all []*entry.Entry
	for i := range 100 {
		pings := make([]entry.Ping, 15)
		for j := range pings {
			pings[j] = entry.Ping{Text: strings.Repeat("x", entry.MaxText), SentAt: int64(i+1) * 1000}
		}
		data, err := entry.EncodeData(pings)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, message(t, uint64(i), data))
	}
	add(t, l, all...)
	l = reopen(t, l, Config{NoSync: true})
	sameKeys(t, l, all)
	records, err := l.After(0, 1000)
	if err != nil || len(records) < 10 || len(records) > 17 {
		t.Errorf("a page of 60 KiB entries has %d, %v", len(records), err)
	}
	if got := arrivals(t, l, 1000); len(got) != len(all) {
		t.Errorf("got %d", len(got))
	}
}

func TestGetAndFind(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, pageKeys+10, 1000)
	add(t, l, e[1:]...)
	for _, x := range []*entry.Entry{e[1], e[500], e[len(e)-1]} {
		if r, err := l.Get(x.Key()); err != nil || r.Entry.ID != x.ID {
			t.Errorf("Get: got %+v, %v", r, err)
		}
		if r, err := l.Find(t.Context(), x.ID); err != nil || r.Entry.ID != x.ID {
			t.Errorf("Find: got %+v, %v", r, err)
		}
	}
	if _, err := l.Get(e[0].Key()); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get: got %v", err)
	}
	if _, err := l.Find(t.Context(), e[0].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Find(ended, e[0].ID); !errors.Is(err, context.Canceled) {
		t.Errorf("Find for nobody: got %v", err)
	}
	l.finding <- struct{}{} // somebody else's search is under way
	if _, err := l.Find(ended, e[1].ID); !errors.Is(err, context.Canceled) {
		t.Errorf("Find for nobody, beside another: got %v", err)
	}
}

func TestAfterFromMemoryAndDisk(t *testing.T) {
	l := open(t, Config{NoSync: true})
	e := fakes(t, 3*recentCount, 1000)
	for part := range slices.Chunk(e, 1000) {
		add(t, l, part...)
	}
	if err := l.settled(); err != nil {
		t.Fatal(err)
	}
	if n := len(l.recent.records) - l.recent.dead; n > recentCount || l.recent.bytes > recentBytes {
		t.Errorf("memory has %d records of %d bytes", n, l.recent.bytes)
	}
	for _, limit := range []int{1, 7, 100, 100000} {
		if limit == 1 && testing.Short() {
			continue
		}
		got := arrivals(t, l, limit)
		if len(got) != len(e) {
			t.Fatalf("limit %d: got %d, want %d", limit, len(got), len(e))
		}
		for i, r := range got {
			if r.Cursor != uint64(i+1) || r.Entry.ID != e[i].ID {
				t.Fatalf("limit %d: record %d is %d", limit, i, r.Cursor)
			}
		}
	}
	if r, err := l.After(1<<40, 5); len(r) != 0 || err != nil {
		t.Errorf("got %v, %v", r, err)
	}
	if r, err := l.After(0, 0); len(r) != 0 || err != nil {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestChanged(t *testing.T) {
	l := open(t, Config{NoSync: true})
	isClosed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	e := fakes(t, 2, 1000)
	c := l.Changed()
	if isClosed(c) {
		t.Error("closed without a change")
	}
	add(t, l, e[0])
	if !isClosed(c) {
		t.Error("not closed by an append")
	}
	c = l.Changed()
	add(t, l, e[0])
	if isClosed(c) {
		t.Error("closed by an append of nothing new")
	}
	l.limits.age = time.Millisecond
	if err := l.Prune(timeOf(5000)); err != nil || !isClosed(c) {
		t.Error("not closed by a prune", err)
	}
}

func TestRecentForgets(t *testing.T) {
	n := newRecent()
	for i := range 10 {
		n.push(Record{Cursor: uint64(i + 1), Entry: fake(t, uint64(i), 1000, "x")})
	}
	n.forget(5)
	n.forget(50)
	got, ok := n.after(3)
	if !ok || len(got) != 6 || got[1].Cursor != 6 {
		t.Errorf("got %v, %v", got, ok)
	}
}
