package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nodeJS is the tutorial's node: our own words for what it does.
//
//go:embed nodejs/node.js
var nodeJS []byte

// nodeJSPackages are what it needs from npm, exactly.
func nodeJSPackages() []string { return []string{"express@4.21.2", "ws@8.18.0"} }

// installNodeJS puts the Node.js node and its packages into a scratch
// directory, once.
func (b *bench) installNodeJS(ctx context.Context) error {
	dir := filepath.Join(b.dir, "nodejs")
	script := filepath.Join(dir, "node.js")
	if _, err := os.Stat(script); err == nil {
		return nil
	}
	b.sayf("  installing %s from npm", strings.Join(nodeJSPackages(), ", "))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "npm", append([]string{"install", "--no-audit", "--no-fund", "--prefix", dir}, nodeJSPackages()...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("installing the Node.js node's packages: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return os.WriteFile(script, nodeJS, 0o600)
}

// startNodeJS starts a Node.js node that is connected to a peer, "" for none.
func (b *bench) startNodeJS(ctx context.Context, peer string) (*proc, error) {
	if err := b.installNodeJS(ctx); err != nil {
		return nil, err
	}
	p, err := b.spawnNodeJS("127.0.0.1:0", peer)
	if err != nil {
		return nil, err
	}
	return p.announced(ctx)
}

// spawnNodeJS only starts the process.
func (b *bench) spawnNodeJS(api, peer string) (*proc, error) {
	return start(command{
		name: "node.js", path: "node", args: []string{filepath.Join(b.dir, "nodejs", "node.js")},
		env: []string{"API=" + api, "PEER=" + peer},
	})
}
