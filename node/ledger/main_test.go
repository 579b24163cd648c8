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
	"sync/atomic"
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
func fake(tb testing.TB, seq uint64, ms int64, text string) *entry.Entry {
	tb.Helper()
	data, err := entry.EncodeData([]entry.Ping{{Text: text, SentAt: ms * 1000}})
	if err != nil {
		tb.Fatal(err)
	}
	return message(tb, seq, data)
}

func message(tb testing.TB, seq uint64, data []byte) *entry.Entry {
	tb.Helper()
	from := append([]byte("\x00\x24\x08\x01\x12\x20"), make([]byte, 32)...)
	seqno := binary.BigEndian.AppendUint64(nil, seq)
	topic := "test"
	signature := bytes.Repeat(seqno, 8)
	e, err := entry.FromMessage(&pb.Message{From: from, Data: data, Seqno: seqno, Topic: &topic, Signature: signature})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// fakes makes n entries, one a millisecond from start on.
func fakes(tb testing.TB, n int, start int64) []*entry.Entry {
	tb.Helper()
	entries := make([]*entry.Entry, n)
	for i := range entries {
		entries[i] = fake(tb, uint64(start)+uint64(i), start+int64(i), "hello")
	}
	return entries
}

// open opens the ledger of a config, at a new path if it has none, and closes
// it with the test.
func open(tb testing.TB, c Config) *Ledger {
	tb.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(tb.TempDir(), "ledger.db")
	}
	l, err := Open(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

// reopen closes l and opens its file again.
func reopen(tb testing.TB, l *Ledger, c Config) *Ledger {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	c.Path = l.path
	return open(tb, c)
}

func add(tb testing.TB, l *Ledger, entries ...*entry.Entry) []Record {
	tb.Helper()
	records, err := l.Append(tb.Context(), Gossip, entries...)
	if err != nil {
		tb.Fatal(err)
	}
	return records
}

// keysOf returns all keys of the ledger.
func keysOf(tb testing.TB, l *Ledger) []entry.Key {
	tb.Helper()
	var keys []entry.Key
	for k, err := range l.Keys(entry.Key{}, entry.LastKey()) {
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

// arrivals returns all records of the ledger in order of arrival, read in pages
// of the given limit.
func arrivals(tb testing.TB, l *Ledger, limit int) []Record {
	tb.Helper()
	var all []Record
	for cursor := uint64(0); ; cursor = all[len(all)-1].Cursor {
		records, err := l.After(cursor, limit)
		if err != nil {
			tb.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		all = append(all, records...)
	}
}

// sameKeys fails unless the ledger has exactly the entries, by every way of
// reading, and its totals and digest agree.
func sameKeys(tb testing.TB, l *Ledger, want []*entry.Entry) {
	tb.Helper()
	want = slices.SortedFunc(slices.Values(want), func(a, b *entry.Entry) int { return a.Key().Compare(b.Key()) })
	var keys []entry.Key
	pings, lines := 0, strings.Builder{}
	for _, e := range want {
		keys = append(keys, e.Key())
		pings += len(e.Pings)
		lines.WriteString(e.ID.String() + "\n")
	}
	if got := keysOf(tb, l); !slices.Equal(got, keys) {
		tb.Fatalf("keys: got %d, want %d, or others", len(got), len(keys))
	}
	i := 0
	for r, err := range l.Range(entry.Key{}, entry.LastKey()) {
		if err != nil {
			tb.Fatal(err)
		}
		if i >= len(want) || !bytes.Equal(r.Entry.Raw, want[i].Raw) {
			tb.Fatalf("record %d of the range is another", i)
		}
		i++
	}
	if i != len(want) {
		tb.Fatalf("range: got %d records, want %d", i, len(want))
	}
	d, s, err := l.Digest()
	if err != nil {
		tb.Fatal(err)
	}
	if s.Entries != len(want) || s.Pings != pings {
		tb.Fatalf("state: got %d entries and %d pings, want %d and %d", s.Entries, s.Pings, len(want), pings)
	}
	if wantDigest := digestOf(lines.String()); d != wantDigest {
		tb.Fatalf("digest: got %s, want %s", d, wantDigest)
	}
}

// commits counts the commits of a ledger, and the frames in its journal, from
// here on.
func commits(l *Ledger) func() int {
	var changes atomic.Int64
	inner, before := l.change, framesOf(l)
	l.change = func(f func(*bbolt.Tx) error) error {
		err := inner(f)
		if err == nil {
			changes.Add(1)
		}
		return err
	}
	return func() int { return int(changes.Load()) + framesOf(l) - before }
}

// framesOf counts the frames in a ledger's journal.
func framesOf(l *Ledger) int {
	if l.journal == nil {
		return 0
	}
	return len(framesFrom(l.journal.file, l.journal.secret, 0))
}

// seeded returns a random source whose seed is printed with the test.
func seeded(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("P2PING_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Logf("P2PING_SEED=%d", seed)
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

// count returns the number of entries in [lo, hi), by their index rows.
func (l *Ledger) count(lo, hi entry.Key) (n int, err error) {
	err = l.view(func(s snapshot) error {
		s.scan(lo, hi, func(entry.Key, row) bool {
			n++
			return true
		})
		return nil
	})
	return n, err
}
