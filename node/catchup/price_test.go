package catchup

import (
	"crypto/rand"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

// metered is a store that counts the looks at it, and the keys that it yields.
type metered struct {
	*memory
	looks, keys *atomic.Int64
}

func newMetered(m *memory) metered {
	return metered{m, new(atomic.Int64), new(atomic.Int64)}
}

func (m metered) Fingerprint(lo, hi entry.Key) (ledger.Digest, int, error) {
	d, n, err := m.memory.Fingerprint(lo, hi)
	m.looks.Add(1)
	m.keys.Add(int64(n))
	return d, n, err
}

func (m metered) Keys(lo, hi entry.Key) iter.Seq2[entry.Key, error] {
	return func(yield func(entry.Key, error) bool) {
		m.looks.Add(1)
		for k, err := range m.memory.Keys(lo, hi) {
			if m.keys.Add(1); !yield(k, err) {
				return
			}
		}
	}
}

// TestPrice lets a peer begin sessions that are all work and no gain: what they
// have the node look at is what they cost.
func TestPrice(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hello func(*hello)
		parts int // into which it splits the last part of each split, but for the first turn's
	}{
		{"of 1970", func(h *hello) { h.clock, h.count, h.fingerprint = 0, 0, emptyDigest() }, 0},
		{"of another set", func(h *hello) { h.count = 1 << 30 }, 0},
		{"in small parts", func(h *hello) { h.count = 1 << 30 }, maxParts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onLAN(t, 2, func(l *lan) {
				t := l.t
				store := newMetered(stored(recent("ours", 10_000)...))
				a := l.start(0, store.memory, quietly, func(cfg *Config) { cfg.Ledger = store })
				s, w := l.dial(1, 0)
				defer s.Reset()
				h := helloOf(0)
				tt.hello(&h)
				if err := w.write(kindHello, h.encode()); err != nil {
					t.Fatal(err)
				}
				if err := w.flush(); err != nil {
					t.Fatal(err)
				}
				w.turn()
				splinter(t, w, h, tt.parts)
				s.CloseWrite()
				time.Sleep(time.Second)
				a.gate.mu.Lock()
				paid := int64(a.gate.all.spent)
				a.gate.mu.Unlock()
				// The last look, for one key, is in the session's price.
				if work := store.keys.Load() - 1 + (store.looks.Load()-1)*lookPrice; paid < sessionPrice+work {
					t.Errorf("it had us look at %d keys in %d looks, and paid for %d", store.keys.Load(), store.looks.Load(), paid-sessionPrice)
				}
			})
		})
	}
}

// splinter answers each split by splits of its parts of which all parts but the
// last are next to nothing, turn after turn, until it may not ask more. With no
// parts it says nothing.
func splinter(t *testing.T, w *wire, h hello, parts int) {
	t.Helper()
	k, payload, err := w.read()
	if err != nil || k != kindWelcome {
		t.Fatalf("got %d, %v", k, err)
	}
	v, err := decodeWelcome(payload, h)
	if err != nil {
		t.Fatal(err)
	}
	liar := newTalk(liar{newMemory()}, salt{})
	liar.welcomed(h, v)
	for range maxTurns - 1 {
		asked := splits(t, w, liar.asked)
		if len(asked) == 0 || parts == 0 {
			return
		}
		items, n := itemWriter{}, 0
		liar.asked = nil
		for i, q := range asked {
			if q.count <= maxList || n+parts > maxQuestions {
				continue
			}
			n += parts
			it := item{kind: itemSplit, question: i}
			for j := range parts {
				p := part{from: q.lo, count: 1 << 20}
				rand.Read(p.fingerprint[:])
				if j > 0 {
					p.from.ID[len(p.from.ID)-1] += byte(j)
				}
				it.parts = append(it.parts, p)
				sub := question{lo: p.from, hi: q.hi}
				liar.asked = append(liar.asked, sub)
				if j > 0 {
					liar.asked[len(liar.asked)-2].hi = p.from
				}
			}
			items.add(it, q.lo.Time)
		}
		for _, payload := range items.take() {
			w.write(kindRanges, payload)
		}
		w.write(kindEnd, end{}.encode())
		if w.flush() != nil {
			return
		}
		w.turn()
	}
}

// splits reads a turn, and returns the questions that it asks by splits of what
// was asked.
func splits(t *testing.T, w *wire, asked []question) (qs []question) {
	t.Helper()
	for {
		k, payload, err := w.read()
		switch {
		case err != nil || k == kindEnd:
			return qs
		case k != kindRanges:
			continue
		}
		d := &decoder{b: payload}
		d.take(saltSize)
		for last := -1; len(d.b) > 0; {
			it := decodeItem(d, last, asked)
			if d.err != nil {
				t.Fatal(d.err)
			}
			last = it.question
			if it.kind == itemList {
				qs = append(qs, question{})
			}
			for i, p := range it.parts {
				q := question{lo: p.from, hi: asked[it.question].hi, count: p.count}
				if i+1 < len(it.parts) {
					q.hi = it.parts[i+1].from
				}
				qs = append(qs, q)
			}
		}
	}
}
