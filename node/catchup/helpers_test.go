package catchup

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"p2ping/node/entry"
	"p2ping/node/ledger"
)

const topic = "catchup-test"

// memory is a Store without a disk. Where only keys are put in, only keys can
// be had.
type memory struct {
	mu      sync.Mutex
	keys    []entry.Key
	entries map[entry.Key]*entry.Entry
	floor   int64
	full    bool
	cursor  uint64
	changed chan struct{}
	batches [][]entry.Key // what Append was given
}

func newMemory(keys ...entry.Key) *memory {
	m := &memory{entries: make(map[entry.Key]*entry.Entry), changed: make(chan struct{})}
	m.put(keys...)
	return m
}

func stored(entries ...*entry.Entry) *memory {
	m := newMemory()
	if _, err := m.Append(context.Background(), ledger.Gossip, entries...); err != nil {
		panic(err)
	}
	m.batches = nil
	return m
}

func (m *memory) put(keys ...entry.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.insert(keys)
}

func (m *memory) insert(keys []entry.Key) {
	if len(keys) == 0 {
		return
	}
	keys = slices.SortedFunc(slices.Values(keys), entry.Key.Compare)
	all := make([]entry.Key, 0, len(m.keys)+len(keys)) // within has given out the old
	for len(m.keys) > 0 && len(keys) > 0 {
		from := &m.keys
		if keys[0].Compare(m.keys[0]) < 0 {
			from = &keys
		}
		all = append(all, (*from)[0])
		*from = (*from)[1:]
	}
	m.keys = slices.Compact(slices.Concat(all, m.keys, keys))
	m.cursor += uint64(len(keys))
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) drop(keys ...entry.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = slices.DeleteFunc(slices.Clone(m.keys), func(k entry.Key) bool { return slices.Contains(keys, k) })
}

// within returns the keys in [lo, hi) that are not below the floor.
func (m *memory) within(lo, hi entry.Key) []entry.Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	if floor := (entry.Key{Time: m.floor}); lo.Compare(floor) < 0 {
		lo = floor
	}
	i, _ := slices.BinarySearchFunc(m.keys, lo, entry.Key.Compare)
	j, _ := slices.BinarySearchFunc(m.keys, hi, entry.Key.Compare)
	if i >= j {
		return nil
	}
	return m.keys[i:j:j]
}

func (m *memory) all() []entry.Key { return m.within(entry.Key{}, entry.LastKey()) }

func (m *memory) Fingerprint(lo, hi entry.Key) (ledger.Digest, int, error) {
	d := newDigester()
	for _, k := range m.within(lo, hi) {
		d.add(k.ID)
	}
	n, digest := d.sum()
	return digest, n, nil
}

func (m *memory) Keys(lo, hi entry.Key) iter.Seq2[entry.Key, error] {
	return func(yield func(entry.Key, error) bool) {
		for _, k := range m.within(lo, hi) {
			if !yield(k, nil) {
				return
			}
		}
	}
}

func (m *memory) Range(lo, hi entry.Key) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for _, k := range m.within(lo, hi) {
			if r, err := m.Get(k); err == nil && !yield(r, nil) {
				return
			}
		}
	}
}

func (m *memory) Get(k entry.Key) (ledger.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[k]
	if !ok || k.Time < m.floor {
		return ledger.Record{}, ledger.ErrNotFound
	}
	return ledger.Record{Entry: e}, nil
}

func (m *memory) Has(k entry.Key) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := slices.BinarySearchFunc(m.keys, k, entry.Key.Compare)
	return ok
}

func (m *memory) Append(_ context.Context, _ ledger.Via, entries ...*entry.Entry) ([]ledger.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return nil, ledger.ErrFull
	}
	var added []ledger.Record
	var keys []entry.Key
	for _, e := range entries {
		if m.entries[e.Key()] == nil && e.Time >= m.floor {
			m.entries[e.Key()] = e
			keys = append(keys, e.Key())
			added = append(added, ledger.Record{Entry: e})
		}
	}
	m.batches = append(m.batches, keys)
	m.insert(keys)
	return added, nil
}

func (m *memory) State() ledger.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return ledger.State{Entries: len(m.keys), Floor: m.floor, Last: m.cursor}
}

func (m *memory) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *memory) Writable() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return ledger.ErrFull
	}
	return nil
}

// epoch is where tests' times begin: Unix ms, in November 2023.
const epoch = 1_700_000_000_000

// keyAt makes the i-th key of a family, a second after the one before it.
func keyAt(family string, i int) entry.Key {
	return entry.Key{Time: epoch + int64(i)*1000, ID: idOf(family, i)}
}

func idOf(family string, i int) entry.ID {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte(family), uint64(i)))
}

func keysOf(family string, from, to int) []entry.Key {
	keys := make([]entry.Key, 0, to-from)
	for i := from; i < to; i++ {
		keys = append(keys, keyAt(family, i))
	}
	return keys
}

func author(i int) crypto.PrivKey {
	var seed [ed25519.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i))
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err)
	}
	return key
}

// entryAt makes a signed entry with a time in Unix ms.
func entryAt(ms int64, text string) *entry.Entry {
	e, err := entry.Sign(author(1), topic, [8]byte{}, []entry.Ping{{Text: text, SentAt: ms * 1000}})
	if err != nil {
		panic(err)
	}
	return e
}

func admitAll(*entry.Entry) error { return nil }

func same(tb testing.TB, a, b *memory) {
	tb.Helper()
	if !slices.Equal(a.all(), b.all()) {
		tb.Fatalf("the two sets differ: %d and %d entries", len(a.all()), len(b.all()))
	}
}
