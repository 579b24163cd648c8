package ledger

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"p2ping/node/entry"
)

// model is what a ledger should do, in memory.
type model struct {
	t     *testing.T
	l     *Ledger
	held  map[entry.ID]*entry.Entry
	order []entry.ID // of arrival
	floor int64
	next  uint64
}

// The pool of entries is small, so that they are often given twice.
const poolTimes = 40

func (m *model) draw(t *rapid.T) *entry.Entry {
	at := rapid.IntRange(0, poolTimes*4).Draw(t, "entry")
	return fake(m.t, uint64(at), int64(1000*(1+at%poolTimes)), "hello")
}

func (m *model) append(t *rapid.T) {
	var entries, want []*entry.Entry
	for range rapid.IntRange(1, 12).Draw(t, "batch") {
		e := m.draw(t)
		entries = append(entries, e)
		if m.held[e.ID] == nil && e.Time >= m.floor {
			want = append(want, e)
			m.held[e.ID] = e
			m.order = append(m.order, e.ID)
		}
	}
	records, err := m.l.Append(m.t.Context(), Via(rapid.IntRange(1, 4).Draw(t, "via")), entries...)
	if err != nil || len(records) != len(want) {
		t.Fatalf("got %d records, want %d: %v", len(records), len(want), err)
	}
	for i, r := range records {
		if r.Entry != want[i] || r.Cursor < m.next {
			t.Fatalf("got record %d of %s, want %s from %d on", r.Cursor, r.Entry.ID, want[i].ID, m.next)
		}
		m.next = r.Cursor + 1
	}
}

func (m *model) prune(t *rapid.T) {
	m.l.limits = limits{}
	now := timeOf(1000 * poolTimes * 2)
	if rapid.Bool().Draw(t, "by age") {
		m.l.limits.age = time.Second
		now = timeOf(int64(rapid.IntRange(0, 1000*poolTimes).Draw(t, "now")))
		m.floor = max(m.floor, ageFloor(now, time.Second))
	} else {
		limit := rapid.IntRange(1, 60).Draw(t, "limit")
		m.l.limits.entries = int64(limit)
		if len(m.held) > limit {
			times := slices.Sorted(maps.Values(m.times()))
			cut := times[len(times)-limit+limit/32-1] // the newest that must go
			m.floor = max(m.floor, cut+1)
		}
	}
	if err := m.l.Prune(now); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(m.held, func(_ entry.ID, e *entry.Entry) bool { return e.Time < m.floor })
	m.order = slices.DeleteFunc(m.order, func(id entry.ID) bool { return m.held[id] == nil })
}

func (m *model) times() map[entry.ID]int64 {
	times := make(map[entry.ID]int64)
	for id, e := range m.held {
		times[id] = e.Time
	}
	return times
}

func (m *model) reopen(*rapid.T) { m.l = reopen(m.t, m.l, Config{NoSync: true}) }

// kill goes on with the files as they are.
func (m *model) kill(t *rapid.T) {
	again, err := Open(Config{Path: copied(m.t, m.l.path), NoSync: true})
	if err == nil {
		err = m.l.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.l = again
}

// fold moves what is in the journal into the file, or finds that full.
func (m *model) fold(t *rapid.T) {
	if rapid.Bool().Draw(t, "full") {
		room := full(m.l)
		defer room()
		defer func() { m.l.tried = time.Time{} }()
	}
	if err := m.l.settled(); err != nil && !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	m.check(t)
}

func (m *model) damage(t *rapid.T) {
	if len(m.order) == 0 {
		return
	}
	id := m.order[rapid.IntRange(0, len(m.order)-1).Draw(t, "damaged")]
	e := m.held[id]
	r, err := m.l.Get(e.Key())
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "its row") {
		poke(m.t, m.l, indexBucket, e.Key().Append(nil), func(v []byte) []byte { v[len(v)-1]++; return v })
		m.reopen(t) // what is in memory is not damaged
		if n := m.l.mend() + must(m.l.count(entry.Key{}, entry.LastKey())); n != len(m.held)-1 {
			t.Fatalf("counted %d", n)
		}
		if n := m.l.mend(); n != 1 {
			t.Fatalf("mended %d", n)
		}
	} else {
		damageRecord(m.t, m.l, r.Cursor)
		if _, err := m.l.Get(e.Key()); err == nil {
			t.Fatal("the damage was not noticed")
		}
	}
	delete(m.held, id)
	m.order = slices.DeleteFunc(m.order, func(other entry.ID) bool { return other == id })
}

func must(n int, err error) int {
	if err != nil {
		return -1
	}
	return n
}

// scrub finds the records of rows that were damaged.
func (m *model) scrub(t *rapid.T) {
	if _, err := m.l.Scrub(m.t.Context()); err != nil {
		t.Fatal(err)
	}
	for r, err := range m.l.Range(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.held[r.Entry.ID] == nil {
			m.held[r.Entry.ID] = r.Entry
		}
	}
	m.order = nil
	for _, r := range arrivals(m.t, m.l, 7) {
		m.order = append(m.order, r.Entry.ID)
	}
}

// glance compares what does not move anything from the journal into the file.
func (m *model) glance(t *rapid.T) {
	if s := m.l.State(); s.Floor != m.floor || s.Last != m.next-1 || s.Entries != len(m.held) {
		t.Fatalf("got %+v, want floor %d, next %d and %d entries", s, m.floor, m.next, len(m.held))
	}
	for range 10 {
		e := m.draw(t)
		_, err := m.l.Get(e.Key())
		if held := m.held[e.ID] != nil; m.l.Has(e.Key()) != held || held != (err == nil) {
			t.Fatalf("it has %s, or not: %v", e.ID, err)
		}
	}
	if m.t.Failed() {
		t.FailNow()
	}
}

// check compares everything.
func (m *model) check(t *rapid.T) {
	sameKeys(m.t, m.l, slices.Collect(maps.Values(m.held)))
	var order []entry.ID
	for _, r := range arrivals(m.t, m.l, rapid.IntRange(1, 300).Draw(t, "limit")) {
		order = append(order, r.Entry.ID)
	}
	if !slices.Equal(order, m.order) {
		t.Fatalf("order of arrival: got %d, want %d, or others", len(order), len(m.order))
	}
	if s := m.l.State(); s.Floor != m.floor || s.Last != m.next-1 {
		t.Fatalf("got %+v, want floor %d and next %d", s, m.floor, m.next)
	}
	e := m.draw(t)
	if m.l.Has(e.Key()) != (m.held[e.ID] != nil) {
		t.Fatalf("Has is wrong of %s", e.ID)
	}
	if m.t.Failed() {
		t.FailNow()
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "ledger.db")
		m := &model{t: t, l: open(t, Config{Path: path, NoSync: true}), held: make(map[entry.ID]*entry.Entry), next: 1}
		defer func() { m.l.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"append ": m.append,
			"prune":   m.prune,
			"reopen":  m.reopen,
			"damage":  m.damage,
			"scrub":   m.scrub,
			"kill":    m.kill,
			"fold":    m.fold,
			"check":   m.check,
			"":        m.glance,
		})
	})
}
