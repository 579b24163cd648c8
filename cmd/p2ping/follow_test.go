package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"p2ping/api/client"
)

// TestFollowOverKills kills and restarts a node under api/client's Follow and
// under `p2ping watch`, while pings are sent. Both get what the ledger then
// holds, in its order of arrival, each once, and no gap.
func TestFollowOverKills(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 4))
	c := newCluster(t, 1)
	env := []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	watch, err := launch(c.dir, env, "p2ping", "watch", "--api", c.url(0), "--since", "0", "--json")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.kill)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var followed []string
	came := make(chan struct{}, 1)
	broken := 0
	var work, following sync.WaitGroup
	following.Go(func() {
		query := client.FollowQuery{Since: "0", Broken: func(error, time.Duration) { broken++ }}
		for event, err := range c.clients[0].Follow(t.Context(), query) {
			if err != nil || event.Ping == nil {
				t.Errorf("after %d pings: event %+v, error %v", len(followed), event, err)
				return
			}
			followed = append(followed, event.Ping.ID)
			select {
			case came <- struct{}{}:
			default:
			}
			if event.Ping.Text == "end" {
				return
			}
		}
	})
	if _, err := c.clients[0].Ping(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	watch.awaitLines(t, 1) // a first connection that fails would be the last
	select {
	case <-came:
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	for i := range 2 {
		work.Go(func() { c.pinger(ctx, string(rune('a'+i)), seed+uint64(i), func(string) {}) })
	}
	for range *kills {
		for range 1 + random.IntN(50) {
			select {
			case <-came:
			case <-time.After(patience):
				t.Fatal("nothing comes any more")
			}
		}
		c.nodes[0].kill()
		c.start(0)
	}
	stop()
	work.Wait()
	if _, err := c.clients[0].Ping(t.Context(), "end"); err != nil {
		t.Fatal(err)
	}
	following.Wait()
	held := arrived(t, c.clients[0])
	t.Logf("%d kills, %d pings, broken %d times", *kills, len(held), broken)
	if !slices.Equal(followed, held) {
		t.Errorf("Follow gave %d pings, the ledger got %d", len(followed), len(held))
	}
	watched := watch.awaitLines(t, len(held))
	if !slices.Equal(watched, held) {
		t.Errorf("watch showed %d pings, the ledger got %d", len(watched), len(held))
	}
}

// arrived returns the ids of all pings that a node holds, in the order of
// arrival.
func arrived(t *testing.T, c *client.Client) []string {
	t.Helper()
	var ids []string
	for event, err := range c.Follow(t.Context(), client.FollowQuery{Since: "0"}) {
		if err != nil {
			t.Fatal(err)
		}
		if ids = append(ids, event.Ping.ID); event.Ping.Text == "end" {
			break
		}
	}
	compareHistory(t, c, ids)
	return ids
}

// compareHistory compares ids with what history gives by another way.
func compareHistory(t *testing.T, c *client.Client, ids []string) {
	t.Helper()
	sorted := slices.Sorted(slices.Values(ids))
	var history []string
	for ping, err := range c.History(t.Context(), client.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		history = append(history, ping.ID)
	}
	slices.Sort(history)
	if !slices.Equal(sorted, history) || len(slices.Compact(sorted)) != len(ids) {
		t.Errorf("a stream from the beginning has %d pings, history %d", len(ids), len(history))
	}
}

// awaitLines waits for n lines of JSON, and returns the ids of all.
func (p *process) awaitLines(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(patience)
	for {
		p.out.mu.Lock()
		all, changed := string(p.out.all), p.out.changed
		p.out.mu.Unlock()
		if strings.Count(all, "\n") >= n {
			var ids []string
			for line := range strings.Lines(all) {
				var ping client.Ping
				if err := json.Unmarshal([]byte(line), &ping); err != nil {
					t.Errorf("%q: %v", line, err)
				}
				ids = append(ids, ping.ID)
			}
			return ids
		}
		select {
		case <-changed:
		case <-p.ended:
			t.Fatalf("watch ended: %s", p.err.all)
		case <-deadline:
			t.Fatalf("only %d lines of %d after %v", strings.Count(all, "\n"), n, patience)
		}
	}
}
