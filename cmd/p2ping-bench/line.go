package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	// lineLength is the tutorial's three nodes: the first that have one between
	// the ends which must pass pings on.
	lineLength = 3
	// readyPatience bounds how long a line may take to be one. A GossipSub mesh
	// takes a heartbeat, which is a second. Only a failure takes as long.
	readyPatience = time.Minute
	// lossPatience is how long nothing must have come before the rest counts as
	// lost, where nothing is repaired. Queues are empty long before, unless the
	// whole machine stood still.
	lossPatience = 10 * time.Second
	// repairPatience is the same for p2ping, which repairs: catch-up runs every
	// 5 to 10 s.
	repairPatience = time.Minute
)

// placeOf is what series and files call node i of a line.
func placeOf(i int) string { return [lineLength]string{"near", "middle", "far"}[i] }

// kind is what the nodes of a line are.
type kind string

const (
	kindP2ping kind = "p2ping"
	kindPubsub kind = "pubsub"
	kindRelay  kind = "relay"
	kindNodeJS kind = "node.js"
)

// line is three processes, each connected to the one before it. Pings enter at
// the first and are counted at the last.
type line struct {
	kind    kind
	procs   []*proc
	proxies []*proxy // between them, if asked for
	before  int      // pings that the far end had when the line was ready
}

func (l *line) near() *proc   { return l.procs[0] }
func (l *line) middle() *proc { return l.procs[1] }
func (l *line) far() *proc    { return l.procs[len(l.procs)-1] }

func (l *line) stop() {
	stopAll(l.procs)
	for _, p := range l.proxies {
		p.close()
	}
}

// lineConfig says how to make a line.
type lineConfig struct {
	kind    kind
	counted bool   // through proxies that count bytes
	ledger  string // a ledger that p2ping nodes begin with, "" for none
	profile string // how the files begin that p2ping nodes write profiles to, "" for none
}

// startLine starts a line and waits until pings go through it. The caller stops
// it.
func (b *bench) startLine(ctx context.Context, cfg lineConfig) (_ *line, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	l := &line{kind: cfg.kind}
	defer func() {
		if err != nil {
			l.stop()
			err = fmt.Errorf("starting a line of %s: %w", cfg.kind, err)
		}
	}()
	previous := ""
	for i := range lineLength {
		if cfg.counted && previous != "" {
			p, err := newProxy(ctx, previous)
			if err != nil {
				return nil, err
			}
			l.proxies = append(l.proxies, p)
			previous = p.addr
		}
		p, err := b.startOne(ctx, cfg, i, previous)
		if err != nil {
			return nil, err
		}
		l.procs = append(l.procs, p)
		previous = p.addr
	}
	return l, l.ready(ctx)
}

func (b *bench) startOne(ctx context.Context, cfg lineConfig, i int, connect string) (*proc, error) {
	switch cfg.kind {
	case kindP2ping:
		dir, err := b.newDir(strconv.Itoa(i), cfg.ledger)
		if err != nil {
			return nil, err
		}
		one := p2pingConfig{dir: dir, bootstrap: connect}
		if cfg.profile != "" {
			one.profile = profileFile(cfg.profile, i)
		}
		return b.startP2ping(ctx, one)
	case kindNodeJS:
		return b.startNodeJS(ctx, connect)
	default:
		return b.startRole(ctx, string(cfg.kind), "-connect", connect)
	}
}

// newDir makes a data directory, with a copy of a ledger if there is one.
func (b *bench) newDir(name, ledger string) (string, error) {
	dir, err := os.MkdirTemp(b.dir, "node-"+name+"-")
	if err != nil || ledger == "" {
		return dir, err
	}
	return dir, copyLedger(dir, ledger)
}

// ready waits until pings go through the line and none is under way.
func (l *line) ready(ctx context.Context) error {
	if l.kind == kindP2ping {
		if err := readyP2ping(ctx, l.procs); err != nil {
			return err
		}
	}
	var err error
	if l.before, err = l.count(ctx); err != nil {
		return err
	}
	// A probe may be lost, and what comes late must not be counted as a ping.
	const patience, settle = 100 * time.Millisecond, time.Second
	sent, arrived := 0, 0
	for arrived == 0 {
		if err := once(ctx, l.near().api, pingRequest("probe")); err != nil {
			return l.near().failure(err)
		}
		sent++
		if arrived, err = l.arrive(ctx, sent, patience); err != nil {
			return err
		}
	}
	arrived, err = l.arrive(ctx, sent, settle)
	l.before += arrived
	return err
}

// arrive waits until the far end has want pings since the line was ready, or
// none more has come for a while, and returns how many it has.
func (l *line) arrive(ctx context.Context, want int, patience time.Duration) (int, error) {
	const often = 2 * time.Millisecond
	got, last := 0, time.Now()
	for {
		n, err := l.count(ctx)
		if err != nil {
			return 0, err
		}
		if n -= l.before; n != got {
			got, last = n, time.Now()
		}
		if got >= want || time.Since(last) > patience {
			return got, nil
		}
		if err := sleep(ctx, often); err != nil {
			return 0, err
		}
	}
}

// count returns how many pings the far end has.
func (l *line) count(ctx context.Context) (int, error) {
	if l.kind == kindP2ping {
		s, err := syncOf(ctx, l.far())
		return s.Pings, err
	}
	var n int
	err := getJSON(ctx, l.far(), "/count", &n)
	return n, err
}

// cpu returns the CPU time that each process used since it began.
func (l *line) cpu() ([]time.Duration, error) {
	used := make([]time.Duration, len(l.procs))
	for i, p := range l.procs {
		var err error
		if used[i], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	return used, nil
}

// cpu adds what a load cost the processes of a line: all of them in seconds for
// 100,000 pings, and each in microseconds a ping.
func (s sample) cpu(series string, l *line, before []time.Duration, pings int) error {
	after, err := l.cpu()
	if err != nil {
		return err
	}
	total := 0.0
	for i := range after {
		each := float64((after[i] - before[i]).Microseconds()) / float64(max(pings, 1))
		s[series+" cpu "+placeOf(i)] = each
		total += each / 10
	}
	s[series+" cpu"] = total
	return nil
}

// patience is how long the rest of the pings may take before it counts as lost.
func (l *line) patience() time.Duration {
	if l.kind == kindP2ping {
		return repairPatience
	}
	return lossPatience
}

// flood has the first node of a line send pings from within its process.
func (l *line) flood(ctx context.Context, lasting time.Duration, limit, size, publishers int) (flooded, error) {
	var f flooded
	path := fmt.Sprintf("/flood?ms=%d&limit=%d&size=%d&publishers=%d", lasting.Milliseconds(), limit, size, publishers)
	err := callJSON(ctx, l.near(), http.MethodPost, path, &f)
	return f, err
}

func getJSON(ctx context.Context, p *proc, path string, v any) error {
	return callJSON(ctx, p, http.MethodGet, path, v)
}

// callJSON makes a request of a process and decodes its answer.
func callJSON(ctx context.Context, p *proc, method, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.api+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return p.failure(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode != http.StatusOK {
		return p.failure(fmt.Errorf("%s %s answered %s", method, path, answer.Status))
	}
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
		return p.failure(fmt.Errorf("reading the answer of %s: %w", path, err))
	}
	return nil
}

// sleep waits for d, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// copyFile copies a file that nobody writes to.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, out.Close())
}
