package ledger

import (
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"p2ping/node/entry"
)

func digestOf(lines string) Digest { return sha256.Sum256([]byte(lines)) }

func TestDigestOfNothing(t *testing.T) {
	l := open(t, Config{NoSync: true})
	d, s, err := l.Digest()
	if err != nil || d.String() != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" || s.Entries != 0 {
		t.Errorf("got %s %+v %v", d, s, err)
	}
}

// The cached digest is that of the ids as text, however entries come and go.
func TestDigestAgainstText(t *testing.T) {
	r := seeded(t)
	l := open(t, Config{NoSync: true})
	e := fakes(t, 6*prefixStep, 1_000_000)
	r.Shuffle(len(e)/3, func(i, j int) { e[i], e[j] = e[j], e[i] })
	var held []*entry.Entry
	for len(e) > 0 {
		n := min(len(e), 1+r.IntN(prefixStep))
		add(t, l, e[:n]...)
		held, e = append(held, e[:n]...), e[n:]
		checkDigest(t, l, held, r)
		if r.IntN(4) == 0 {
			held = dropOne(t, l, held, r)
			checkDigest(t, l, held, r)
		}
		if r.IntN(6) == 0 {
			floor := held[r.IntN(len(held))].Time
			l.limits.age = time.Second
			if err := l.Prune(timeOf(floor + 1000)); err != nil {
				t.Fatal(err)
			}
			floor = l.State().Floor
			held = slices.DeleteFunc(held, func(e *entry.Entry) bool { return e.Time < floor })
			e = slices.DeleteFunc(e, func(e *entry.Entry) bool { return e.Time < floor })
			checkDigest(t, l, held, r)
		}
	}
}

func dropOne(t *testing.T, l *Ledger, held []*entry.Entry, r *rand.Rand) []*entry.Entry {
	t.Helper()
	if len(held) == 0 {
		return held
	}
	i := r.IntN(len(held))
	record, err := l.Get(held[i].Key())
	if err != nil {
		t.Fatal(err)
	}
	damageRecord(t, l, record.Cursor)
	if _, err := l.Get(held[i].Key()); err == nil {
		t.Fatal("it is still there")
	}
	return slices.Delete(held, i, i+1)
}

func checkDigest(t *testing.T, l *Ledger, held []*entry.Entry, r *rand.Rand) {
	t.Helper()
	slices.SortFunc(held, func(a, b *entry.Entry) int { return a.Key().Compare(b.Key()) })
	part := held
	hi := entry.LastKey()
	if len(held) > 0 && r.IntN(2) == 0 { // a range from the floor on, first
		n := r.IntN(len(held))
		hi, part = held[n].Key(), held[:n]
	}
	d, n, err := l.Fingerprint(entry.Key{}, hi)
	if err != nil || n != len(part) || d != digestOf(text(part)) {
		t.Fatalf("fingerprint of %d of %d: got %s of %d, %v", len(part), len(held), d, n, err)
	}
	for range 2 { // the second time from the cache
		d, s, err := l.Digest()
		if err != nil || s.Entries != len(held) || d != digestOf(text(held)) {
			t.Fatalf("digest of %d: got %s of %d, %v", len(held), d, s.Entries, err)
		}
	}
	l.prefixes.mu.Lock()
	defer l.prefixes.mu.Unlock()
	if n := len(l.prefixes.kept); n != len(held)/prefixStep {
		t.Errorf("%d prefixes of %d entries are kept", n, len(held))
	}
}

func text(entries []*entry.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.ID.String() + "\n")
	}
	return b.String()
}

// A digest agrees with the state that comes with it, and with a range that is
// read afterwards, while others write.
func TestDigestIsConsistentWithItsState(t *testing.T) {
	l := open(t, Config{NoSync: true})
	const n = prefixStep + 1000
	e := fakes(t, n, 1000)
	rand.Shuffle(n, func(i, j int) { e[i], e[j] = e[j], e[i] })
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for part := range slices.Chunk(e, 97) {
			if _, err := l.Append(t.Context(), Gossip, part...); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for {
				d, s, err := l.Digest()
				if err != nil {
					t.Error(err)
					return
				}
				// Cursors tell which entries were there.
				if held := slices.Clone(e[:s.Last]); s.Entries != len(held) {
					t.Errorf("%d entries, but the last cursor is %d", s.Entries, s.Last)
				} else {
					slices.SortFunc(held, func(a, b *entry.Entry) int { return a.Key().Compare(b.Key()) })
					if d != digestOf(text(held)) {
						t.Errorf("the digest of %d entries is another", len(held))
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
	sameKeys(t, l, e)
}

// What a writer is about to commit is not cached by a computation that began
// before, or meanwhile.
func TestPrefixesDoNotOutliveAWrite(t *testing.T) {
	key := func(ms int64) entry.Key { return entry.Key{Time: ms} }
	reach := func(w *prefixWork, n int) { w.reached(key(int64(n)), n*prefixStep, newIDHash()) }
	var p prefixes
	w := p.begin()
	for i := 1; i <= 3; i++ {
		reach(w, i)
	}
	w.end()
	if len(p.kept) != 3 {
		t.Fatalf("kept %d", len(p.kept))
	}
	w = p.begin()
	p.invalidate(key(3))
	reach(w, 3)
	if len(p.kept) != 2 {
		t.Errorf("during: kept %d", len(p.kept))
	}
	w.end()
	w = p.begin() // the writer has not committed yet
	reach(w, 3)
	w.end()
	if len(p.kept) != 2 {
		t.Errorf("before the commit: kept %d", len(p.kept))
	}
	p.settle()
	w = p.begin()
	reach(w, 3)
	reach(w, 5) // not the next
	w.end()
	if len(p.kept) != 3 {
		t.Errorf("afterwards: kept %d", len(p.kept))
	}
	p.invalidate(entry.Key{})
	if len(p.kept) != 0 {
		t.Errorf("a floor that rises: kept %d", len(p.kept))
	}
}
