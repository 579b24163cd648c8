package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"p2ping/api/client"
)

// p2pingConfig says how to start p2ping itself.
type p2pingConfig struct {
	dir       string
	bootstrap string // "" for none
	http      string // address of the API, "" for any free port
	all       bool   // all transports, where pings need TCP alone
	profile   string // file for a CPU profile, "" for none
}

// startP2ping starts a node and waits until its API answers and it has an
// address. What it prints of pings is formatted and thrown away, as with
// > /dev/null.
func (b *bench) startP2ping(ctx context.Context, cfg p2pingConfig) (*proc, error) {
	p, err := b.spawnP2ping(cfg)
	if err != nil {
		return nil, err
	}
	if err := findP2ping(ctx, p, cfg.dir); err != nil {
		p.stop()
		return nil, p.failure(err)
	}
	return p, nil
}

// spawnP2ping only starts the process.
func (b *bench) spawnP2ping(cfg p2pingConfig) (*proc, error) {
	if cfg.http == "" {
		cfg.http = "127.0.0.1:0"
	}
	args := []string{"run", "--http", cfg.http, "--data-dir", cfg.dir, "--retention", "0", "--log-level", "warn"}
	transport := "tcp"
	if cfg.all {
		transport = "all"
	}
	for _, addr := range listenAddrs(transport) {
		args = append(args, "--listen", addr)
	}
	if cfg.bootstrap != "" {
		args = append(args, "--bootstrap", cfg.bootstrap)
	}
	if !cfg.all {
		args = append(args, b.apart...)
	}
	c := command{name: "p2ping", path: b.p2ping, args: args, stdout: b.null}
	if cfg.profile != "" {
		c.env = []string{profileVariable + "=" + cfg.profile}
	}
	return start(c)
}

// flagsApart finds out how a p2ping is told not to look for peers: else the ends
// of a line hear of each other, and it is a triangle. One that does not look for
// any has no such flag.
func flagsApart(ctx context.Context, binary string) ([]string, error) {
	help, err := exec.CommandContext(ctx, binary, "run", "--help").Output()
	if err != nil {
		return nil, fmt.Errorf("asking p2ping for its flags: %w", err)
	}
	switch {
	case bytes.Contains(help, []byte("--no-discovery")):
		return []string{"--no-discovery"}, nil
	case bytes.Contains(help, []byte("--discovery")):
		return []string{"--discovery=false"}, nil
	}
	return nil, nil
}

// findP2ping reads where the node's API is from its data directory, and its
// address from the API.
func findP2ping(ctx context.Context, p *proc, dir string) error {
	for {
		b, err := os.ReadFile(filepath.Join(dir, "api"))
		if err == nil {
			p.api = strings.TrimPrefix(strings.TrimSpace(string(b)), "http://")
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-p.ended:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	c, err := clientOf(p)
	if err != nil {
		return err
	}
	defer c.Close()
	id, err := c.ID(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(id.Addresses, func(a string) bool { return strings.Contains(a, "/tcp/") && !strings.Contains(a, "/ws") })
	if i < 0 {
		return fmt.Errorf("it has no TCP address among %q", id.Addresses)
	}
	p.addr = id.Addresses[i]
	return nil
}

func clientOf(p *proc) (*client.Client, error) {
	return client.New(client.Config{URL: "http://" + p.api})
}

// errNoLine is returned for nodes that connected to others than they were told.
var errNoLine = errors.New("the nodes do not stay in a line: p2ping needs a flag against discovery")

// readyP2ping waits until each node has its neighbours in its mesh.
func readyP2ping(ctx context.Context, procs []*proc) error {
	for i, p := range procs {
		want := 2
		if i == 0 || i == len(procs)-1 {
			want = 1
		}
		c, err := clientOf(p)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			peers, err := c.Peers(ctx)
			if err != nil {
				return p.failure(err)
			}
			in := slices.DeleteFunc(peers, func(q client.Peer) bool { return !q.InMesh })
			if len(in) > want {
				return p.failure(fmt.Errorf("%w: %d peers are in its mesh, not %d", errNoLine, len(in), want))
			}
			if len(in) == want {
				break
			}
			if err := sleep(ctx, 20*time.Millisecond); err != nil {
				return p.failure(fmt.Errorf("%d of %d neighbours are in its mesh: %w", len(in), want, err))
			}
		}
	}
	return nil
}

// syncOf returns the state of a node's ledger.
func syncOf(ctx context.Context, p *proc) (client.Sync, error) {
	var s client.Sync
	err := getJSON(ctx, p, "/sync", &s)
	return s, err
}

// verdict is what the ledgers of a line say after a load.
type verdict struct {
	// arrived is how many pings since the start the ledger has that has fewest.
	arrived int
	// equal tells that all have the same digest and counts.
	equal bool
	// batch is how many pings are in an entry, on average.
	batch float64
}

// compare compares the ledgers of a line of p2ping, which may still be busy
// with a catch-up. before is what they held.
func compare(ctx context.Context, l *line) (verdict, error) {
	deadline := time.Now().Add(repairPatience)
	for {
		v, err := compareOnce(ctx, l)
		if err != nil || v.equal || time.Now().After(deadline) {
			return v, err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return v, err
		}
	}
}

func compareOnce(ctx context.Context, l *line) (verdict, error) {
	v := verdict{equal: true}
	var first client.Sync
	for i, p := range l.procs {
		s, err := syncOf(ctx, p)
		if err != nil {
			return v, err
		}
		if i == 0 {
			first, v.arrived = s, s.Pings
		}
		v.arrived = min(v.arrived, s.Pings)
		v.equal = v.equal && s.Digest == first.Digest && s.Pings == first.Pings && s.Entries == first.Entries
	}
	v.batch = float64(v.arrived) / float64(max(first.Entries, 1))
	v.arrived -= l.before
	return v, nil
}

// lost returns how many of the acknowledged pings are not in every ledger. With
// ledgers that differ it is one at least, whatever they count.
func (v verdict) lost(acknowledged int) int {
	lost := max(acknowledged-v.arrived, 0)
	if !v.equal {
		lost = max(lost, 1)
	}
	return lost
}
