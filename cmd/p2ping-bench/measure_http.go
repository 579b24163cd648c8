package main

import (
	"context"
	"fmt"
	"time"
)

// pingSize is the length of a text in loads, in bytes.
const pingSize = 32

// measureHTTP has pings enter at one end by HTTP, one a request, and counts
// them at the other.
func (b *bench) measureHTTP(ctx context.Context) (sample, error) {
	s := make(sample)
	if err := b.hello(ctx, s); err != nil {
		return nil, err
	}
	kinds := []kind{kindPubsub, kindP2ping}
	if b.withNode {
		kinds = append(kinds, kindNodeJS)
	}
	for _, k := range kinds {
		if err := b.throughHTTP(ctx, k, s); err != nil {
			return nil, err
		}
	}
	if !b.withNode {
		b.missing["http/node"] = "needs -with-node"
	}
	return s, nil
}

func (b *bench) hello(ctx context.Context, s sample) error {
	p, err := b.startRole(ctx, "hello")
	if err != nil {
		return err
	}
	defer p.stop()
	t, err := b.load(p).run(ctx)
	if err == nil && t.failed > 0 {
		err = fmt.Errorf("%d of %d requests failed", t.failed, t.sent())
	}
	s["http/hello"] = perSecond(t.done, t.took)
	return err
}

// load is the load of all that take pings by HTTP.
func (b *bench) load(p *proc) load {
	return load{addr: p.api, request: pingRequest(filler(pingSize)), conns: b.conns, lasting: b.lasting, limit: b.limit}
}

func (b *bench) throughHTTP(ctx context.Context, k kind, s sample) error {
	return b.through(ctx, k, "http/"+contenderName(k), s, func(l *line) (int, error) {
		t, err := b.load(l.near()).run(ctx)
		if err == nil && t.failed+t.refused > 0 {
			err = fmt.Errorf("%d of %d requests failed, %d were refused", t.failed, t.sent(), t.refused)
		}
		if err != nil {
			return 0, l.near().failure(err)
		}
		return t.done, nil
	})
}

// through has send hand pings, which it counts, to one end of a line of a kind,
// and measures what comes out at the other: the series and those that begin with
// its name.
func (b *bench) through(ctx context.Context, k kind, series string, s sample, send func(*line) (int, error)) error {
	l, err := b.startLine(ctx, lineConfig{kind: k})
	if err != nil {
		return err
	}
	defer l.stop()
	before, err := l.cpu()
	if err != nil {
		return err
	}
	start := time.Now()
	sent, err := send(l)
	if err != nil {
		return err
	}
	arrived, took, err := l.await(ctx, sent, start)
	if err != nil {
		return err
	}
	s[series] = perSecond(arrived, took)
	if err := s.cpu(series, l, before, arrived); err != nil {
		return err
	}
	if k != kindP2ping {
		s[series+" lost"] = share(sent-arrived, sent)
		return nil
	}
	v, err := compare(ctx, l)
	s[series+" lost"], s[series+" batch"] = float64(v.lost(sent)), v.batch
	return err
}

// await waits for what was sent and returns how much arrived, and how long
// after start the last of it did.
func (l *line) await(ctx context.Context, sent int, start time.Time) (arrived int, took time.Duration, err error) {
	arrived, err = l.arrive(ctx, sent, l.patience())
	took = time.Since(start)
	if arrived < sent {
		took -= l.patience() // in which nothing came
	}
	return arrived, took, err
}

// contenderName is how series call a kind.
func contenderName(k kind) string {
	if k == kindNodeJS {
		return "node"
	}
	return string(k)
}

// share returns part of whole in percent.
func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
