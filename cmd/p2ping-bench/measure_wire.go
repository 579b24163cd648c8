package main

import (
	"context"
	"fmt"
)

const (
	// wireSize is the length of a text, in bytes.
	wireSize = 256
	// wirePings bounds what is sent: (b) must lose nothing, or it would seem
	// cheap.
	wirePings = 20_000
)

// measureWire counts the bytes on the two links of a line, through proxies, and
// divides them by the payload that went over each. Both sides get their pings
// by HTTP, over the same connections.
func (b *bench) measureWire(ctx context.Context) (sample, error) {
	s := make(sample)
	for _, k := range []kind{kindPubsub, kindP2ping} {
		if err := b.wire(ctx, k, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (b *bench) wire(ctx context.Context, k kind, s sample) error {
	l, err := b.startLine(ctx, lineConfig{kind: k, counted: true})
	if err != nil {
		return err
	}
	defer l.stop()
	before := l.through()
	t, err := load{
		addr: l.near().api, request: pingRequest(filler(wireSize)),
		conns: b.conns, lasting: b.lasting, limit: min(b.limit, wirePings),
	}.run(ctx)
	if err != nil {
		return l.near().failure(err)
	}
	arrived, err := l.arrive(ctx, t.done, l.patience())
	if err != nil {
		return err
	}
	if arrived == 0 {
		return fmt.Errorf("of %d pings none arrived", t.done)
	}
	// What (b) lost may have gone over the first link: give it the benefit.
	payload := (t.done + arrived) * wireSize
	s["wire/"+contenderName(k)] = float64(l.through()-before) / float64(payload)
	return nil
}
