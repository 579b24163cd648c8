package main

import (
	"context"
	"time"
)

const (
	// usedEntries is the ledger of the node that is connected and used.
	usedEntries = 100_000
	// usedPings is how it is used.
	usedPings = 1000
	// restful is how long a process is left alone before its memory is read:
	// what starting up took is given back in part.
	restful = 1500 * time.Millisecond
)

// measureMemory reads what processes keep in memory, as the kernel counts it.
func (b *bench) measureMemory(ctx context.Context) (sample, error) {
	s := make(sample)
	if err := b.idle(ctx, s, "bare", b.startBare); err != nil {
		return nil, err
	}
	if err := b.idle(ctx, s, "p2ping", b.startIdle); err != nil {
		return nil, err
	}
	b.missing["memory/node"], b.missing["memory/kubo"] = "needs -with-node", "needs -with-kubo"
	if b.withNode {
		if err := b.idle(ctx, s, "node", func(ctx context.Context) (*proc, error) { return b.startNodeJS(ctx, "") }); err != nil {
			return nil, err
		}
	}
	if b.kubo != "" {
		if err := b.idle(ctx, s, "kubo", b.startKubo); err != nil {
			return nil, err
		}
	}
	return s, b.inUse(ctx, s)
}

// startBare starts (e), with the transports that p2ping listens on.
func (b *bench) startBare(ctx context.Context) (*proc, error) {
	return b.startRole(ctx, "pubsub", "-transport", "all")
}

// startIdle starts p2ping with an empty ledger.
func (b *bench) startIdle(ctx context.Context) (*proc, error) {
	dir, err := b.newDir("idle", "")
	if err != nil {
		return nil, err
	}
	return b.startP2ping(ctx, p2pingConfig{dir: dir, all: true})
}

func (b *bench) idle(ctx context.Context, s sample, name string, start func(context.Context) (*proc, error)) error {
	p, err := start(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	m, err := b.rested(ctx, p)
	s["memory/"+name], s["memory/"+name+" anon"] = m.resident, m.anonymous
	return err
}

// rested is the memory of a process that has had nothing to do for a while.
func (b *bench) rested(ctx context.Context, p *proc) (memory, error) {
	if err := sleep(ctx, b.restful); err != nil {
		return memory{}, err
	}
	return p.memory()
}

// inUse is the middle node of a line that holds many entries, has passed on some
// more, has listed the last of them and told its digest.
func (b *bench) inUse(ctx context.Context, s sample) error {
	ledger, err := b.ledgerOf(ctx, b.used)
	if err != nil {
		return err
	}
	l, err := b.startLine(ctx, lineConfig{kind: kindP2ping, ledger: ledger})
	if err != nil {
		return err
	}
	defer l.stop()
	t, err := load{
		addr: l.near().api, request: pingRequest(filler(pingSize)),
		conns: min(b.conns, 8), lasting: b.lasting, limit: min(b.limit, usedPings),
	}.run(ctx)
	if err != nil {
		return err
	}
	if _, err := l.arrive(ctx, t.done, l.patience()); err != nil {
		return err
	}
	if _, err := syncOf(ctx, l.middle()); err != nil {
		return err
	}
	m, err := b.rested(ctx, l.middle())
	s["memory/p2ping used"], s["memory/p2ping used anon"] = m.resident, m.anonymous
	return err
}
