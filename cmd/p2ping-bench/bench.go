package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sample is what one run of a measure came to, by series. The names of series
// are those in rows.go.
type sample map[string]float64

// measure measures several contenders, one after the other.
type measure struct {
	name string
	run  func(*bench, context.Context) (sample, error)
	// once is for what takes long and varies little.
	once bool
}

// measures lists everything, in the order of the table.
func measures() []measure {
	return []measure{
		{name: "http", run: (*bench).measureHTTP},
		{name: "bulk", run: (*bench).measureBulk},
		{name: "overload", run: (*bench).measureOverload},
		{name: "latency", run: (*bench).measureLatency},
		{name: "wire", run: (*bench).measureWire},
		{name: "memory", run: (*bench).measureMemory},
		{name: "start", run: (*bench).measureStart},
		{name: "ledger", run: (*bench).measureLedger, once: true},
		{name: "catchup", run: (*bench).measureCatchUp, once: true},
	}
}

func measureNames() []string {
	var names []string
	for _, m := range measures() {
		names = append(names, m.name)
	}
	return names
}

// bench is one whole benchmark.
type bench struct {
	options
	dir    string // scratch, removed at the end
	self   string // this program
	p2ping string // its binary
	null   *os.File
	apart  []string // flags that keep p2ping nodes to the peers they are told of
	talk   io.Writer

	samples map[string][]float64
	missing map[string]string // why a series has no figures
	errs    []error
}

// benchmark measures, prints the table and writes the figures.
func benchmark(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	b := &bench{options: o, talk: stderr, samples: make(map[string][]float64), missing: make(map[string]string)}
	if b.self, err = selfPath(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "p2ping-bench-"); err != nil {
		return fmt.Errorf("making a scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.null, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
		return err
	}
	defer b.null.Close() //nolint:errcheck // nothing is in it
	if err := b.build(ctx); err != nil {
		return err
	}
	if b.apart, err = flagsApart(ctx, b.p2ping); err != nil {
		return err
	}
	if b.profile != "" {
		return b.profileAll(ctx, stdout)
	}
	start := time.Now()
	b.measureAll(ctx)
	r := b.report(time.Since(start))
	if err := r.print(stdout); err != nil {
		return err
	}
	if b.json != "" {
		if err := r.write(b.json); err != nil {
			return err
		}
	}
	return errors.Join(b.errs...)
}

// measureAll fills samples. A measure that fails in one run is left out of that
// run as a whole, so that figures and baselines stay paired.
func (b *bench) measureAll(ctx context.Context) {
	for i := range b.runs {
		for _, m := range measures() {
			if !b.wants(m.name) || m.once && i > 0 {
				continue
			}
			start := time.Now()
			b.sayf("run %d of %d: %s", i+1, b.runs, m.name)
			s, err := m.run(b, ctx)
			if ctx.Err() != nil {
				b.errs = append(b.errs, errors.New("interrupted"))
				return
			}
			if err != nil {
				b.errs = append(b.errs, fmt.Errorf("run %d: %s: %w", i+1, m.name, err))
				b.sayf("  failed: %v", err)
				continue
			}
			for _, series := range slices.Sorted(maps.Keys(s)) {
				b.samples[series] = append(b.samples[series], s[series])
				b.sayf("  %-34s %12s", series, figure(s[series]))
			}
			b.sayf("  %.1f s", time.Since(start).Seconds())
		}
	}
}

func (b *bench) wants(name string) bool { return len(b.only) == 0 || slices.Contains(b.only, name) }

func (b *bench) sayf(format string, args ...any) { fmt.Fprintf(b.talk, format+"\n", args...) }

// build builds p2ping from the module that the working directory is in.
func (b *bench) build(ctx context.Context) error {
	if b.p2ping = b.binary; b.p2ping != "" {
		return nil
	}
	b.sayf("building p2ping")
	b.p2ping = filepath.Join(b.dir, "p2ping")
	args, err := b.buildArgs(ctx)
	if err != nil {
		return err
	}
	args = append(append([]string{"build", "-o", b.p2ping}, args...), "p2ping/cmd/p2ping")
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building p2ping: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// timed runs f and returns how long it took.
func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}
