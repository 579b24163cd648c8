package ledger

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"p2ping/node/entry"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		crashChild(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// fake makes an entry that is right in all but its signature, which the ledger
// does not check: cheap, and distinct for every seq.
func fake(t testing.TB, seq uint64, ms int64, text string) *entry.Entry {
	t.Helper()
	data, err := entry.EncodeData([]entry.Ping{{Text: text, SentAt: ms * 1000}})
	if err != nil {
		t.Fatal(err)
	}
	return message(t, seq, data)
}

func message(t testing.TB, seq uint64, data []byte) *entry.Entry {
	t.Helper()
	from := append([]byte("\x00\x24\x08\x01\x12\x20"), make([]byte, 32)...)
	seqno := binary.BigEndian.AppendUint64(nil, seq)
	topic := "test"
	signature := bytes.Repeat(seqno, 8)
	e, err := entry.FromMessage(&pb.Message{From: from, Data: data, Seqno: seqno, Topic: &topic, Signature: signature})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fakes makes n entries, one a millisecond from start on.
func fakes(t testing.TB, n int, start int64) []*entry.Entry {
	t.Helper()
	entries := make([]*entry.Entry, n)
	for i := range entries {
		entries[i] = fake(t, uint64(start)+uint64(i), start+int64(i), "hello")
	}
	return entries
}

// open opens the ledger of a config, at a new path if it has none, and closes
// it with the test.
func open(t testing.TB, c Config) *Ledger {
	t.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(t.TempDir(), "ledger.db")
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// reopen closes l and opens its file again.
func reopen(t testing.TB, l *Ledger, c Config) *Ledger {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c.Path = l.path
	return open(t, c)
}

func add(t testing.TB, l *Ledger, entries ...*entry.Entry) []Record {
	t.Helper()
	records, err := l.Append(t.Context(), Gossip, entries...)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// keysOf returns all keys of the ledger.
func keysOf(t testing.TB, l *Ledger) []entry.Key {
	t.Helper()
	var keys []entry.Key
	for k, err := range l.Keys(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

// arrivals returns all records of the ledger in order of arrival, read in pages
// of the given limit.
func arrivals(t testing.TB, l *Ledger, limit int) []Record {
	t.Helper()
	var all []Record
	for cursor := uint64(0); ; cursor = all[len(all)-1].Cursor {
		records, err := l.After(cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		all = append(all, records...)
	}
}

// sameKeys fails unless the ledger has exactly the entries, by every way of
// reading, and its totals and digest agree.
func sameKeys(t testing.TB, l *Ledger, want []*entry.Entry) {
	t.Helper()
	want = slices.SortedFunc(slices.Values(want), func(a, b *entry.Entry) int { return a.Key().Compare(b.Key()) })
	var keys []entry.Key
	pings, lines := 0, strings.Builder{}
	for _, e := range want {
		keys = append(keys, e.Key())
		pings += len(e.Pings)
		lines.WriteString(e.ID.String() + "\n")
	}
	if got := keysOf(t, l); !slices.Equal(got, keys) {
		t.Fatalf("keys: got %d, want %d, or others", len(got), len(keys))
	}
	i := 0
	for r, err := range l.Range(entry.Key{}, entry.LastKey()) {
		if err != nil {
			t.Fatal(err)
		}
		if i >= len(want) || !bytes.Equal(r.Entry.Raw, want[i].Raw) {
			t.Fatalf("record %d of the range is another", i)
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("range: got %d records, want %d", i, len(want))
	}
	d, s, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if s.Entries != len(want) || s.Pings != pings {
		t.Fatalf("state: got %d entries and %d pings, want %d and %d", s.Entries, s.Pings, len(want), pings)
	}
	if wantDigest := digestOf(lines.String()); d != wantDigest {
		t.Fatalf("digest: got %s, want %s", d, wantDigest)
	}
}

// commits counts the commits of a ledger from here on.
func commits(l *Ledger) func() int {
	var mu sync.Mutex
	n := 0
	inner := l.change
	l.change = func(f func(*bbolt.Tx) error) error {
		err := inner(f)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			n++
		}
		return err
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// seeded returns a random source whose seed is printed with the test.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("P2PING_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("P2PING_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// logTo returns a logger and what it has written.
func logTo(*testing.T) (*slog.Logger, func() string) {
	var b syncBuffer
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), b.String
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
