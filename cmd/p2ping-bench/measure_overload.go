package main

import (
	"context"
	"time"
)

// An overload must be more than p2ping lets wait, which is bounded by bytes:
// 4 MiB of pings.
const (
	overloadConns = 1500
	overloadSize  = 4000
	// overloadPublishers is the same for (b), where nothing bounds it.
	overloadPublishers = 32
)

// measureOverload sends more than can be taken and looks for pings that
// vanished without a word: acknowledged, and not at the far end.
func (b *bench) measureOverload(ctx context.Context) (sample, error) {
	s := make(sample)
	if err := b.overloadPubsub(ctx, s); err != nil {
		return nil, err
	}
	return s, b.overloadP2ping(ctx, s)
}

func (b *bench) overloadPubsub(ctx context.Context, s sample) error {
	l, err := b.startLine(ctx, lineConfig{kind: kindPubsub})
	if err != nil {
		return err
	}
	defer l.stop()
	f, err := l.flood(ctx, b.lasting, b.limit, pingSize, overloadPublishers)
	if err != nil {
		return err
	}
	arrived, err := l.arrive(ctx, f.Sent, l.patience())
	s["overload/pubsub silent"] = share(f.Sent-arrived, f.Sent)
	return err
}

func (b *bench) overloadP2ping(ctx context.Context, s sample) error {
	l, err := b.startLine(ctx, lineConfig{kind: kindP2ping})
	if err != nil {
		return err
	}
	defer l.stop()
	start := time.Now()
	t, err := load{
		addr: l.near().api, request: postRequest(filler(overloadSize)),
		conns: min(overloadConns, b.limit), lasting: b.lasting, limit: b.limit,
	}.run(ctx)
	if err != nil {
		return l.near().failure(err)
	}
	_, took, err := l.await(ctx, t.done, start)
	if err != nil {
		return err
	}
	v, err := compare(ctx, l)
	s["overload/p2ping silent"] = float64(v.lost(t.done))
	s["overload/p2ping failed"] = float64(t.failed)
	s["overload/p2ping refused"] = share(t.refused, t.sent())
	s["overload/p2ping taken"] = perSecond(t.done, took)
	return err
}
