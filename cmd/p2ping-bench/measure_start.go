package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// starts is how often a run starts each contender, and takes the median.
	starts = 3
	// startPatience bounds one start. kubo takes seconds.
	startPatience = 30 * time.Second
)

// measureStart takes the time from the start of a process until its API answers
// GET /livez.
func (b *bench) measureStart(ctx context.Context) (sample, error) {
	used, err := b.newDir("start", "")
	if err != nil {
		return nil, err
	}
	if err := b.install(ctx); err != nil {
		return nil, err
	}
	contenders := []struct {
		series string
		wanted bool
		path   string
		spawn  func(api string) (*proc, error)
	}{
		{"start/bare", true, "/livez", b.spawnBare},
		{"start/p2ping first", true, "/livez", func(api string) (*proc, error) {
			dir, err := b.newDir("start", "")
			if err != nil {
				return nil, err
			}
			return b.spawnP2ping(p2pingConfig{dir: dir, http: api, all: true})
		}},
		{"start/p2ping", true, "/livez", func(api string) (*proc, error) {
			return b.spawnP2ping(p2pingConfig{dir: used, http: api, all: true})
		}},
		{"start/node", b.withNode, "/livez", func(api string) (*proc, error) { return b.spawnNodeJS(api, "") }},
		{"start/kubo", b.kubo != "", "/", b.spawnKubo},
	}
	b.missing["start/node"], b.missing["start/kubo"] = "needs -with-node", "needs -with-kubo"
	s := make(sample)
	for _, c := range contenders {
		if !c.wanted {
			continue
		}
		// Once to have it in the page cache, and used's key and ledger made.
		if _, err := b.startup(ctx, c.path, c.spawn); err != nil {
			return nil, err
		}
		var times []float64
		for range starts {
			took, err := b.startup(ctx, c.path, c.spawn)
			if err != nil {
				return nil, err
			}
			times = append(times, milliseconds(took))
		}
		s[c.series] = summarise(times).Median
	}
	return s, nil
}

// install makes ready what has to be installed, if it is wanted.
func (b *bench) install(ctx context.Context) error {
	if b.withNode {
		if err := b.installNodeJS(ctx); err != nil {
			return err
		}
	}
	if b.kubo != "" {
		if err := b.installKubo(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) spawnBare(api string) (*proc, error) {
	return start(command{name: "pubsub", path: b.self, args: []string{roleArg, "pubsub", "-transport", "all", "-api", api}})
}

// startup starts a process once, waits until its API answers, and stops it.
func (b *bench) startup(ctx context.Context, path string, spawn func(api string) (*proc, error)) (time.Duration, error) {
	api, err := freeAddr(ctx)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	p, err := spawn(api)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := p.awaitAPI(ctx, api, path); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// awaitAPI waits until an address answers requests, whatever it answers.
func (p *proc) awaitAPI(ctx context.Context, api, path string) error {
	const often = 200 * time.Microsecond
	for {
		conn, err := net.DialTimeout("tcp", api, time.Second)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-p.ended:
			return p.failure(errEnded)
		default:
		}
		if err := sleep(ctx, often); err != nil {
			return p.failure(err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return p.failure(err)
	}
	p.api = api
	return answer.Body.Close()
}

// freeAddr returns an address on the loopback interface that was free a moment
// ago: some programs can't say which port they were given. It lies below the
// ports that systems give out by themselves, to outgoing connections too: one of
// those may be taken until the program listens.
func freeAddr(ctx context.Context) (string, error) {
	const first, last, tries = 5000, 10000, 100
	var lc net.ListenConfig
	var err error
	for range tries {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first)))
		var l net.Listener
		if l, err = lc.Listen(ctx, "tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("finding a free port: %w", err)
}
