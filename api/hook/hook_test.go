package hook

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"p2ping/api/client"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a ledger with hooks on it.
type bench struct {
	t        *testing.T
	ledger   *ledger.Ledger
	dir      *os.Root
	keys     []crypto.PrivKey
	seqno    uint64
	log      strings.Builder
	registry *prometheus.Registry // of the hooks started last
}

func newBench(t *testing.T) *bench {
	t.Helper()
	path := t.TempDir()
	l, err := ledger.Open(ledger.Config{Path: filepath.Join(path, "ledger.db"), NoSync: true, MaxEntries: 20})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, ledger: l, dir: dir}
	for seed := range byte(3) {
		key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat(string('a'+rune(seed)), ed25519.SeedSize))))
		if err != nil {
			t.Fatal(err)
		}
		b.keys = append(b.keys, key)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), dir.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// add appends an entry with these texts.
func (b *bench) add(author int, texts ...string) {
	b.t.Helper()
	b.seqno++
	var pings []entry.Ping
	for i, text := range texts {
		pings = append(pings, entry.Ping{Text: text, SentAt: int64(b.seqno)*1e6 + int64(i)})
	}
	e, err := entry.Sign(b.keys[author], "t", [8]byte(binary.BigEndian.AppendUint64(nil, b.seqno)), pings)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.ledger.Append(b.t.Context(), ledger.Gossip, e); err != nil {
		b.t.Fatal(err)
	}
}

// start runs a hook for each name, which hands over to f.
func (b *bench) start(f deliverFunc, names ...string) (stop func()) {
	b.t.Helper()
	b.registry = prometheus.NewRegistry()
	h, err := New(Config{Ledger: b.ledger, Dir: b.dir, Commands: names, Registerer: b.registry, Logger: slog.New(slog.NewTextHandler(&b.log, nil))})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range h.runners {
		r.deliverer = f
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return func() {
		b.t.Helper()
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
}

type deliverFunc func(ctx context.Context, p client.Ping) error

func (f deliverFunc) deliver(ctx context.Context, ping []byte) error {
	var p client.Ping
	if err := json.Unmarshal(ping, &p); err != nil {
		panic(err)
	}
	return f(ctx, p)
}

// taken notes what was handed over.
type taken struct {
	mu    sync.Mutex
	texts []string
}

func (k *taken) add(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.texts = append(k.texts, text)
}

// reset forgets what was handed over, and returns it.
func (k *taken) reset() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	texts := k.texts
	k.texts = nil
	return texts
}

// sort is for several authors, whose pings come in any order.
func (k *taken) sort() {
	k.mu.Lock()
	defer k.mu.Unlock()
	slices.Sort(k.texts)
}

func (k *taken) is(t *testing.T, want ...string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.texts, want) {
		t.Errorf("handed over: %q, want %q", k.texts, want)
	}
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var got taken
		fails, release := 3, make(chan struct{})
		stop := b.start(func(_ context.Context, p client.Ping) error {
			switch {
			case p.Text == "a2" && fails > 0:
				fails--
				return errors.New("not yet")
			case p.Text == "b1":
				<-release
			}
			got.add(p.Text)
			return nil
		}, "hook")
		b.add(0, "a1", "a2", "a3")
		b.add(1, "b1")
		b.add(0, "a4")
		b.add(2, "c1")
		b.add(1, "b2")
		synctest.Wait()
		got.sort()
		got.is(t, "a1", "c1") // the others wait for their authors' first
		got.reset()
		time.Sleep(time.Minute)
		synctest.Wait()
		got.is(t, "a2", "a3", "a4")
		close(release)
		synctest.Wait()
		got.is(t, "a2", "a3", "a4", "b1", "b2")
		stop()
	})
}

func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var got taken
		refused := false
		take := func(_ context.Context, p client.Ping) error {
			if p.Text == "refused" {
				refused = true
				return refusal{errors.New("no")}
			}
			got.add(p.Text)
			return nil
		}
		block := func(ctx context.Context, p client.Ping) error {
			if p.Text != "blocked" {
				return take(ctx, p)
			}
			<-ctx.Done()
			return ctx.Err()
		}
		b.add(0, "before it was there")
		stop := b.start(block, "hook")
		synctest.Wait()
		b.add(0, "one", "two", "blocked", "three")
		b.add(1, "of another")
		synctest.Wait()
		stop()
		got.sort()
		got.is(t, "of another", "one", "two")

		// From the first that was not handed over: what came behind comes again.
		b.add(0, "refused")
		got.reset()
		stop = b.start(take, "new", "hook", "hook")
		synctest.Wait()
		got.sort()
		got.is(t, "blocked", "of another", "three")
		b.add(0, "for both")
		synctest.Wait()
		got.sort()
		got.is(t, "blocked", "for both", "for both", "of another", "three")
		stop()
		if !refused || !strings.Contains(b.log.String(), "refused a ping") {
			t.Errorf("nothing says that a ping was refused:\n%s", b.log.String())
		}

		// A hook that was left out starts anew.
		stop = b.start(take, "new")
		stop()
		b.add(0, "while it was away")
		got.reset()
		stop = b.start(take, "hook")
		synctest.Wait()
		got.is(t)
		stop()
	})
}

// TestNothingIsOvertakenAtTheEnd has a failing task give up as all ends, and its
// outcome seen before the end is.
func TestNothingIsOvertakenAtTheEnd(t *testing.T) {
	b := newBench(t)
	b.add(0, "failing", "behind it")
	records, err := b.ledger.After(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	failing, behind := &task{record: records[0]}, &task{record: records[0], index: 1}
	r := &runner{
		waiting: map[peer.ID][]*task{records[0].Entry.Author: {behind}},
		queue:   []*task{failing, behind},
		running: 1,
	}
	r.finish(t.Context(), t.Context(), outcome{task: failing, over: false})
	if r.running != 0 {
		t.Error("the ping behind one that was not handed over is")
	}
}

// TestFile looks at what is written when.
func TestFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		take := func(context.Context, client.Ping) error { return nil }
		run := func(names ...string) os.FileInfo {
			t.Helper()
			stop := b.start(take, names...)
			b.add(0, "a ping")
			synctest.Wait()
			stop()
			info, err := b.dir.Stat(File)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			return info
		}
		if run() != nil {
			t.Error("a file is written without hooks")
		}
		before := run("hook")
		if before == nil {
			t.Fatal("no file is written with a hook")
		}
		b.start(take, "hook")()
		if after, err := b.dir.Stat(File); err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("the file is written again with the same in it (%v)", err)
		}
		holds := func(want map[string]place) {
			t.Helper()
			if got, err := (&book{dir: b.dir}).read(); err != nil || !maps.Equal(got, want) {
				t.Errorf("the file says %v, not %v (%v)", got, want, err)
			}
		}
		run("hook")
		holds(map[string]place{keyOf("exec", "hook"): inEpoch(b.ledger, place{arrival: 4})})
		run()
		holds(nil)
	})
}

func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var got taken
		take := func(_ context.Context, p client.Ping) error { got.add(p.Text); return nil }
		stop := b.start(take, "hook")
		b.add(0, "first")
		synctest.Wait()
		stop()
		got.is(t, "first")
		for i := range 40 {
			b.add(0, fmt.Sprint(i))
		}
		if err := b.ledger.Prune(time.Now()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.log.String(), "a gap") {
			t.Errorf("a gap before there is one:\n%s", b.log.String())
		}
		got.reset()
		stop = b.start(take, "hook")
		synctest.Wait()
		stop()
		kept := got.reset()
		if n := len(kept); n == 0 || n >= 40 || kept[n-1] != "39" || !strings.Contains(b.log.String(), "a gap") {
			t.Errorf("handed over: %q; the log says\n%s", kept, b.log.String())
		}
		// A ledger that was begun anew: from its beginning.
		places := map[string]place{keyOf("exec", "hook"): {arrival: 1000}}
		if err := (&book{dir: b.dir, places: places}).write(); err != nil {
			t.Fatal(err)
		}
		stop = b.start(take, "hook")
		synctest.Wait()
		stop()
		if again := got.reset(); !slices.Equal(again, kept) || !strings.Contains(b.log.String(), "another one") {
			t.Errorf("handed over: %q, not %q again; the log says\n%s", again, kept, b.log.String())
		}
		// Another one that has as many.
		places = map[string]place{keyOf("exec", "hook"): {arrival: 5, epoch: b.ledger.State().Epoch + 1}}
		if err := (&book{dir: b.dir, places: places}).write(); err != nil {
			t.Fatal(err)
		}
		stop = b.start(take, "hook")
		synctest.Wait()
		stop()
		if again := got.reset(); !slices.Equal(again, kept) {
			t.Errorf("of another ledger, %q were handed over, not %q", again, kept)
		}
	})
}

// TestWindow has one hook stuck at the first ping: it takes no more than a
// window of others, and another hook gets all.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var stuck, free taken
		stopStuck := b.start(func(_ context.Context, p client.Ping) error {
			if p.Text == "first" {
				return errors.New("stuck")
			}
			stuck.add(p.Text)
			return nil
		}, "stuck")
		b.add(0, "first")
		synctest.Wait()
		other := newBench(t)
		other.ledger.Close()
		other.ledger = b.ledger
		stopFree := other.start(func(_ context.Context, p client.Ping) error { free.add(p.Text); return nil }, "free")
		const n = 4 * window
		for i := range n {
			b.add(1, fmt.Sprint(i))
		}
		synctest.Wait()
		if some, all := stuck.reset(), free.reset(); len(some) != window-1 || len(all) != n {
			t.Errorf("the stuck hook handed over %d of %d pings, the free one %d", len(some), n, len(all))
		}
		stopStuck()
		stopFree()
	})
}

func TestPause(t *testing.T) {
	for n, longest := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		longest *= time.Second
		if got := pause(n, 0); got <= 0 || got > 100*time.Millisecond {
			t.Errorf("after %d failures at least %v", n, got)
		}
		if got := pause(n, 0.5); got != longest/2 {
			t.Errorf("after %d failures %v on average, want %v", n, got, longest/2)
		}
	}
	if got := pause(1000, 0.99999); got > maxPause {
		t.Errorf("after 1000 failures %v", got)
	}
}

func FuzzBook(f *testing.F) {
	f.Add([]byte(`{"hooks":{"a":"1-0","b":"922337203685477580-999","c":"17-3-00c0ffee"}}`))
	f.Add([]byte(`{"hooks":{"a":"-1"}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		places, err := parseBook(content)
		if err != nil {
			return
		}
		for key, p := range places {
			if again, err := parsePlace(p.String()); err != nil || again != p {
				t.Errorf("place %v of %q becomes %v, %v", p, key, again, err)
			}
		}
	})
}
