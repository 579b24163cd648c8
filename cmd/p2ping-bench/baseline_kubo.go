package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// installKubo makes kubo a repository that keeps it on loopback, once.
func (b *bench) installKubo(ctx context.Context) error {
	repo := filepath.Join(b.dir, "kubo")
	if _, err := os.Stat(repo); err == nil {
		return nil
	}
	listen, err := json.Marshal(listenAddrs("all"))
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "--profile", "test"}, // no bootstrap peers, no mDNS
		{"config", "--json", "Addresses.Swarm", string(listen)},
		{"config", "--json", "AutoTLS.Enabled", "false"},
	} {
		cmd := exec.CommandContext(ctx, b.kubo, args...)
		cmd.Env = append(os.Environ(), "IPFS_PATH="+repo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("kubo: ipfs %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// startKubo starts kubo and waits for its API.
func (b *bench) startKubo(ctx context.Context) (*proc, error) {
	api, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.installKubo(ctx); err != nil {
		return nil, err
	}
	p, err := b.spawnKubo(api)
	if err != nil {
		return nil, err
	}
	if err := p.awaitAPI(ctx, api, "/"); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// spawnKubo only starts the process.
func (b *bench) spawnKubo(api string) (*proc, error) {
	host, port, _ := strings.Cut(api, ":")
	return start(command{
		name: "kubo", path: b.kubo,
		args: []string{"daemon", "--api", "/ip4/" + host + "/tcp/" + port, "--enable-pubsub-experiment"},
		env:  []string{"IPFS_PATH=" + filepath.Join(b.dir, "kubo")},
		// Its first line is no announcement, and stays unread.
		stdout: b.null,
	})
}
