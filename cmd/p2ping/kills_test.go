package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"p2ping/api/client"
)

var kills = flag.Int("kills", 6, "how often TestKills kills a node")

// cluster is some nodes as processes, each told of all others by addresses
// without IDs. They keep their ports and directories over crashes.
type cluster struct {
	t       *testing.T
	dir     string
	http    []string // ports
	p2p     []string
	clients []*client.Client
	nodes   []*process
}

func newCluster(t *testing.T, size int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), nodes: make([]*process, size)}
	ports, err := freePorts(2 * size)
	if err != nil {
		t.Fatal(err)
	}
	c.http, c.p2p = ports[:size], ports[size:]
	for i := range size {
		api, err := client.New(client.Config{URL: c.url(i), HTTP: &http.Client{Transport: &http.Transport{}}})
		if err != nil {
			t.Fatal(err)
		}
		c.clients = append(c.clients, api)
		t.Cleanup(api.Close)
		c.start(i)
	}
	t.Cleanup(func() {
		for i, p := range c.nodes {
			p.kill()
			if t.Failed() {
				t.Logf("[node %d]\n%s", i, p.err.all)
			}
		}
	})
	return c
}

// url is where node i serves its API.
func (c *cluster) url(i int) string { return "http://127.0.0.1:" + c.http[i] }

// start starts node i, again or for the first time.
func (c *cluster) start(i int) {
	c.t.Helper()
	args := []string{"run", "--data-dir", strconv.Itoa(i), "--http-port", c.http[i], "--p2p-port", c.p2p[i]}
	for j, port := range c.p2p {
		if j != i {
			args = append(args, "--bootstrap", "/ip4/127.0.0.1/tcp/"+port)
		}
	}
	p, err := launch(c.dir, []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}, "p2ping", args...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = p
	p.ready(c.t)
}

// pinger pings nodes at random, each time with a text of its own, until ctx
// ends. It calls acknowledged for those that were answered with success: they
// are promised to survive. The others may or may not.
func (c *cluster) pinger(ctx context.Context, name string, seed uint64, acknowledged func(text string)) {
	random := rand.New(rand.NewPCG(seed, 2))
	for n := 0; ctx.Err() == nil; n++ {
		text := fmt.Sprintf("%s %d", name, n)
		if c.ping(ctx, random.IntN(len(c.clients)), text) == nil {
			acknowledged(text)
		}
	}
}

// ping waits for the answer even when ctx ends: a ping that was given up may be
// published at any later moment.
func (c *cluster) ping(ctx context.Context, i int, text string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, err := c.clients[i].Ping(ctx, text)
	return err
}

// TestKills kills nodes at random moments while pings are sent, restarts them,
// and then wants to see every acknowledged ping in every ledger, none twice.
func TestKills(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	c := newCluster(t, 3)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()

	var (
		mu    sync.Mutex
		acked = make(map[string]bool)
		count atomic.Int64
		work  sync.WaitGroup
		more  = make(chan struct{}, 1)
	)
	for i := range 4 {
		work.Go(func() {
			c.pinger(ctx, fmt.Sprintf("pinger %d", i), seed+uint64(i), func(text string) {
				mu.Lock()
				acked[text] = true
				mu.Unlock()
				count.Add(1)
				select {
				case more <- struct{}{}:
				default:
				}
			})
		})
	}
	for range *kills {
		for goal := count.Load() + 1 + random.Int64N(30); count.Load() < goal; {
			select {
			case <-more:
			case <-time.After(patience):
				t.Fatalf("no ping is acknowledged any more, after %d", count.Load())
			}
		}
		i := random.IntN(len(c.nodes))
		c.nodes[i].kill()
		c.start(i)
	}
	stop()
	work.Wait()
	t.Logf("%d kills, %d pings acknowledged", *kills, len(acked))
	c.awaitAgreement()
	for i := range c.nodes {
		c.check(i, acked)
	}
}

// awaitAgreement waits until all digests are equal.
func (c *cluster) awaitAgreement() {
	c.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		digests := make(map[string]int)
		for _, api := range c.clients {
			s, err := api.Sync(c.t.Context())
			if err != nil {
				c.t.Fatal(err)
			}
			digests[s.Digest] = s.Pings
		}
		if len(digests) == 1 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("the ledgers still differ after %v: %v", patience, digests)
		}
	}
}

// check compares what node i holds with what was promised.
func (c *cluster) check(i int, acked map[string]bool) {
	c.t.Helper()
	seen := make(map[string]int)
	for e, err := range c.clients[i].Entries(c.t.Context()) {
		if err != nil {
			c.t.Fatal(err)
		}
		for _, p := range e.Pings {
			seen[p.Text]++
		}
	}
	for text := range acked {
		if seen[text] == 0 {
			c.t.Errorf("node %d lost the acknowledged ping %q", i, text)
		}
	}
	for text, n := range seen {
		if n > 1 {
			c.t.Errorf("node %d has the ping %q %d times", i, text, n)
		}
	}
	var export bytes.Buffer
	if err := c.clients[i].WriteEntries(c.t.Context(), &export); err != nil {
		c.t.Fatal(err)
	}
	state, err := c.clients[i].Sync(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if v, err := verify(&export); err != nil || v.Refused > 0 || v.Digest != state.Digest {
		c.t.Errorf("node %d: its export verifies as %+v, %v; its digest is %s", i, v, err, state.Digest)
	}
}
