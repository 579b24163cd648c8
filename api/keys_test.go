package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

func TestAKeyPublishesOnce(t *testing.T) {
	a := startWithKeys(t)
	ping := func(key, text string) (reply, client.Published, string) {
		t.Helper()
		answer, body := a.do(t, "POST", "/ping", text, "Idempotency-Key", key, "Content-Type", "text/plain")
		var p client.Published
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		return answer, p, body
	}
	_, _, first := ping("k1", "one")
	answer, _, again := ping("k1", "one")
	if first != again || answer.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("first %s, then %s", first, again)
	}
	if answer, _, _ := ping("k1", "other"); answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another text under the same key: %d", answer.StatusCode)
	}
	if answer, _, _ := ping(strings.Repeat("k", maxKeyLen+1), "x"); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a long key: %d", answer.StatusCode)
	}
	if answer, _, body := ping("", "x"); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "is empty") {
		t.Errorf("an empty key: %s", body)
	}
	if answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k3", "Idempotency-Key", "k4"); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("two keys: %s", body)
	}
	results := a.send(t, `{"text":"one","key":"k1"}
{"text":"two","key":"k2"}
{"text":"three"}
{"text":"two","key":"k2"}
{"text":"other","key":"k1"}
`)
	if len(results) != 5 || !results[0].Replayed || results[1].Error != nil || results[2].Error != nil {
		t.Errorf("got %+v", results)
	}
	if r := results[3]; !r.Replayed || r.ID != results[1].ID {
		t.Errorf("a key twice in one body: %+v", r)
	}
	if r := results[4]; r.Error == nil || r.Error.Status != http.StatusUnprocessableEntity {
		t.Errorf("got %+v", r)
	}
	if got := a.node.texts(t); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("published %q", got)
	}
}

func TestAKeyIsFreeAgainWhenNothingWasPublished(t *testing.T) {
	a := startWithKeys(t)
	for _, err := range []error{node.ErrBusy, node.ErrStopped} {
		a.node.failWith(err)
		answer, _ := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d", answer.StatusCode)
		}
	}
	a.node.failWith(nil)
	if answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k"); answer.StatusCode != 200 || answer.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// leaving is a node whose caller leaves before its pings are under way: it takes
// them back then.
type leaving struct {
	*fakeNode
	leave func()
}

func (n leaving) PublishAll(ctx context.Context, pings []entry.Ping) ([]node.Published, error) {
	n.leave()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("waiting to publish: %w: nothing was published", context.Cause(ctx))
	}
	return n.fakeNode.PublishAll(ctx, pings)
}

// TestAKeyHasAnOutcomeWhenItsClientLeaves has a client that is gone before its
// ping is written: the key must not be left without an outcome, for a day.
func TestAKeyHasAnOutcomeWhenItsClientLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	n := newFakeNode(t)
	a := serve(t, n, Config{Node: leaving{n, leave}, KeysPath: t.TempDir() + "/keys.db"})
	lines := []line{{text: "y", key: "k"}}
	for _, replayed := range []bool{false, true} {
		results := a.server.publishPatiently(ctx, lines, nil)
		if r := results[0]; r.err != nil || r.replayed != replayed {
			t.Errorf("replayed %t: %v; want %t", r.replayed, r.err, replayed)
		}
	}
	if got := a.node.texts(t); !slices.Equal(got, []string{"y"}) {
		t.Errorf("published %q", got)
	}
}

func TestAKeyInUseIsRefused(t *testing.T) {
	a := startWithKeys(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	a.node.onPublish = func() { close(inside); <-leave }
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
	}()
	<-inside
	answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
	if answer.StatusCode != http.StatusConflict || answer.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	close(leave)
	<-done
}

// TestKeysAfterACrash stops a node at the worst instants: after the key was
// recorded and before the outcome was.
func TestKeysAfterACrash(t *testing.T) {
	n := newFakeNode(t)
	path := t.TempDir() + "/keys.db"
	crashed := func(key, text string, published bool) {
		t.Helper()
		k, err := openKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		defer k.close()
		c := newClaim(key, text)
		if err := k.claim([]*claim{c}, time.Now()); err != nil || c.err != nil {
			t.Fatal(err, c.err)
		}
		if published {
			// In one entry with another, that came first.
			at := c.record.sentAt
			if _, err := n.publish(t.Context(), []entry.Ping{{Text: "other", SentAt: at - 3_000_000}, {Text: text, SentAt: at}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	crashed("stored", "x", true)
	crashed("lost", "y", false)
	a := serve(t, n, Config{Node: n, KeysPath: path})
	before := len(n.texts(t))

	answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "stored")
	records, err := n.ledger.After(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if want := records[0].Entry.ID.String() + "-1"; answer.StatusCode != 200 || !strings.Contains(body, want) {
		t.Errorf("a ping that was stored: %d %s", answer.StatusCode, body)
	}
	answer, body = a.do(t, "POST", "/ping", "y", "Idempotency-Key", "lost")
	if answer.StatusCode != http.StatusConflict || answer.Header.Get("Retry-After") != "10" {
		t.Errorf("a ping that was not: %d %s, to be retried after %q s", answer.StatusCode, body, answer.Header.Get("Retry-After"))
	}
	if got := len(n.texts(t)); got != before {
		t.Errorf("%d pings were published", got-before)
	}
	// A peer had it, and catch-up brings it back.
	k, err := findKey(a.server.keys, "lost")
	if err != nil {
		t.Fatal(err)
	}
	e, err := entry.Sign(n.key, testTopic, [8]byte{9}, []entry.Ping{{Text: "y", SentAt: k.sentAt}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ledger.Append(t.Context(), ledger.CatchUp, e); err != nil {
		t.Fatal(err)
	}
	if answer, body := a.do(t, "POST", "/ping", "y", "Idempotency-Key", "lost"); answer.StatusCode != 200 || !strings.Contains(body, e.ID.String()) {
		t.Errorf("a ping that came back: %d %s", answer.StatusCode, body)
	}
}

// findKey reads a key's record.
func findKey(k *keys, key string) (keyRecord, error) {
	c := newClaim(key, "")
	if err := k.claim([]*claim{c}, time.Now()); err != nil {
		return keyRecord{}, err
	}
	k.release([]*claim{c})
	return c.record, nil
}

func TestKeysSurviveARestartAndADay(t *testing.T) {
	n := newFakeNode(t)
	path := t.TempDir() + "/keys.db"
	ping := func(at time.Time) string {
		t.Helper()
		s, err := New(Config{Node: n, KeysPath: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.now = func() time.Time { return at }
		results := s.publishKeyed(t.Context(), []line{{text: "x", key: "k"}})
		if results[0].err != nil {
			t.Fatal(results[0].err)
		}
		return results[0].published.Entry.String()
	}
	now := time.Now()
	first := ping(now)
	if again := ping(now.Add(23 * time.Hour)); again != first {
		t.Error("the key was forgotten by a restart")
	}
	if later := ping(now.Add(25 * time.Hour)); later == first {
		t.Error("the key is remembered for more than a day")
	}
	k, err := openKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	if k.count != 1 {
		t.Errorf("%d keys are kept, not one", k.count)
	}
}

func TestKeysAreCounted(t *testing.T) {
	k, err := openKeys(t.TempDir() + "/keys.db")
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	now := time.Now()
	add := func(at time.Time, names ...string) []*claim {
		t.Helper()
		var claims []*claim
		for _, name := range names {
			claims = append(claims, newClaim(name, "x"))
		}
		if err := k.claim(claims, at); err != nil {
			t.Fatal(err)
		}
		k.release(claims)
		return claims
	}
	add(now, "a", "b", "c")
	add(now, "a", "d")
	if k.count != 4 {
		t.Errorf("%d keys, not 4", k.count)
	}
	if err := k.drop(add(now, "d")); err != nil || k.count != 3 {
		t.Errorf("%d keys, not 3 (%v)", k.count, err)
	}
	add(now.Add(25*time.Hour), "e")
	if k.count != 1 {
		t.Errorf("%d keys, not 1", k.count)
	}
}

func TestKeysBeyondTheBoundAreRefused(t *testing.T) {
	a := startWithKeys(t)
	first, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "known")
	if first.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", first.StatusCode, body)
	}
	a.server.keys.mu.Lock()
	a.server.keys.count = maxKeys
	a.server.keys.mu.Unlock()
	for range 2 { // it must not be remembered either
		answer, body := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "new")
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("a new key: %d %s", answer.StatusCode, body)
		}
	}
	// One who sends again must not be told to go without.
	again, replayed := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "known")
	if again.StatusCode != http.StatusOK || replayed != body {
		t.Errorf("a known key: %d %s, not %s", again.StatusCode, replayed, body)
	}
	if got := a.node.texts(t); !slices.Equal(got, []string{"x"}) {
		t.Errorf("published %q", got)
	}
}

func TestTheKeyFileIsMadeForTheFirstKey(t *testing.T) {
	n := newFakeNode(t)
	path := filepath.Join(t.TempDir(), "keys.db")
	serve := func(lines ...line) {
		t.Helper()
		s, err := New(Config{Node: n, KeysPath: path})
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) > 0 {
			if r := s.publishAll(t.Context(), lines, nil)[0]; r.err != nil {
				t.Fatal(r.err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	serve(line{text: "x"})
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a key: %v", err)
	}
	serve(line{text: "x", key: "k"})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	serve()
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a start wrote to the file (%v)", err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left %q (%v)", left, err)
	}
}

// TestHalfAKeyFile has what crashes may leave: half of a new file, a file
// without buckets.
func TestHalfAKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	claimOne := func() {
		t.Helper()
		k, err := openKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.claim([]*claim{newClaim("k", "x")}, time.Now()); err != nil {
			t.Error(err)
		}
		if err := k.close(); err != nil {
			t.Error(err)
		}
		if err := k.claim([]*claim{newClaim("l", "x")}, time.Now()); !errors.Is(err, node.ErrStopped) {
			t.Errorf("after it was closed: %v", err)
		}
	}
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	claimOne()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	claimOne()
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openKeys(path); err == nil {
		t.Error("a damaged file was opened")
	}
}

func FuzzDecodeKeyRecord(f *testing.F) {
	f.Add(keyRecord{done: true, usedAt: time.Unix(1, 0), sentAt: 5, index: 7, topicPeers: 9}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeyRecord(b)
		if err == nil && !bytes.Equal(k.encode(), b) {
			t.Errorf("%x became %x", b, k.encode())
		}
	})
}

func TestAKeyWithoutAStoreIsRefused(t *testing.T) {
	a := start(t)
	answer, _ := a.do(t, "POST", "/ping", "x", "Idempotency-Key", "k")
	if answer.StatusCode != http.StatusBadRequest || len(a.node.texts(t)) != 0 {
		t.Errorf("%d", answer.StatusCode)
	}
}
