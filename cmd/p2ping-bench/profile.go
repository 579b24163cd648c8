package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

const (
	// profileVariable tells a node where to write its profile.
	profileVariable = "P2PING_BENCH_PROFILE"
	// profileTop is how many functions are printed of each profile.
	profileTop = "20"
)

// profileSource is laid over p2ping's main package: the program has no endpoint
// for profiles, which would be one more to guard.
//
//go:embed overlay/profile.go.txt
var profileSource []byte

// buildArgs are the arguments of `go build` beside where to and what.
func (b *bench) buildArgs(ctx context.Context) ([]string, error) {
	if b.profile == "" {
		return nil, nil
	}
	dir, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "p2ping/cmd/p2ping").Output()
	if err != nil {
		return nil, fmt.Errorf("finding p2ping's source: %w", err)
	}
	source, overlay := filepath.Join(b.dir, "profile.go"), filepath.Join(b.dir, "overlay.json")
	if err := os.WriteFile(source, profileSource, 0o600); err != nil {
		return nil, err
	}
	laid := filepath.Join(strings.TrimSpace(string(dir)), "profile_overlay.go")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{laid: source}})
	if err != nil {
		return nil, err
	}
	return []string{"-overlay", overlay}, os.WriteFile(overlay, list, 0o600)
}

// profileAll profiles all three nodes under two loads, and prints what took
// most time in each.
func (b *bench) profileAll(ctx context.Context, stdout io.Writer) error {
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return err
	}
	loads := []struct {
		name string
		run  func(context.Context, *proc) (tally, error)
	}{
		{"http", func(ctx context.Context, p *proc) (tally, error) { return b.load(p).run(ctx) }},
		{"bulk", b.bulkLoad},
	}
	for _, load := range loads {
		if !b.wants(load.name) {
			continue
		}
		b.sayf("profiling: %s", load.name)
		files, err := b.profileOne(ctx, load.name, load.run)
		if err != nil {
			return fmt.Errorf("profiling %s: %w", load.name, err)
		}
		for _, file := range files {
			if err := b.printProfile(ctx, stdout, b.p2ping, file); err != nil {
				return err
			}
		}
	}
	// Both sides of a catch-up are in this process.
	if slices.Contains(b.only, "catchup") {
		return b.profileSelf(ctx, stdout, "catchup", b.measureCatchUp)
	}
	return nil
}

// profileSelf profiles a measure that works in this process.
func (b *bench) profileSelf(ctx context.Context, stdout io.Writer, name string, run func(context.Context) (sample, error)) (err error) {
	path := filepath.Join(b.profile, name+".pprof")
	b.sayf("profiling: %s", name)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = run(ctx)
	pprof.StopCPUProfile()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return b.printProfile(ctx, stdout, b.self, path)
}

func (b *bench) profileOne(ctx context.Context, name string, run func(context.Context, *proc) (tally, error)) ([]string, error) {
	prefix, err := filepath.Abs(filepath.Join(b.profile, name))
	if err != nil {
		return nil, err
	}
	var files []string
	for i := range lineLength {
		file := profileFile(prefix, i)
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err // of a run before this one
		}
		files = append(files, file)
	}
	l, err := b.startLine(ctx, lineConfig{kind: kindP2ping, profile: prefix})
	if err != nil {
		return nil, err
	}
	defer l.stop()
	if err := l.signal(beginProfile); err != nil {
		return nil, err
	}
	start := time.Now()
	t, err := run(ctx, l.near())
	if err != nil {
		return nil, l.near().failure(err)
	}
	arrived, took, err := l.await(ctx, t.done, start)
	if err != nil {
		return nil, err
	}
	if err := l.signal(endProfile); err != nil {
		return nil, err
	}
	b.sayf("  %s pings/s", figure(perSecond(arrived, took)))
	for _, file := range files {
		if err := awaitFile(ctx, file); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// profileFile is where node i of a line writes its profile.
func profileFile(prefix string, i int) string {
	return prefix + "-" + placeOf(i) + ".pprof"
}

func (l *line) signal(s os.Signal) error {
	for _, p := range l.procs {
		if err := p.cmd.Process.Signal(s); err != nil {
			return p.failure(err)
		}
	}
	return nil
}

// awaitFile waits until a file is there.
func awaitFile(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for {
		_, err := os.Stat(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for %s: %w", path, err)
		}
	}
}

func (b *bench) printProfile(ctx context.Context, stdout io.Writer, binary, file string) error {
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount="+profileTop, binary, file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("reading %s: %w: %s", file, err, out)
	}
	fmt.Fprintf(stdout, "%s\n%s\n", file, out)
	return nil
}
