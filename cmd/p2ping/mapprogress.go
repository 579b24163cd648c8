package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"p2ping/api/client"
)

// How often it is said how far a map is: on a terminal, where one line is
// written over, and elsewhere, so that a map that is quickly made says nothing.
const (
	mapOften  = 200 * time.Millisecond
	mapSeldom = time.Second
)

// askForMap asks for a map, and says how far it is while it waits.
func (p *program) askForMap(ctx context.Context, c *client.Client) (client.Map, error) {
	often, show := mapSeldom, p.sayProgress
	if isTerminal(p.stderr) {
		often, show = mapOften, p.showProgress
		defer fmt.Fprint(p.stderr, "\r\x1b[K")
	}
	tick := time.NewTicker(often)
	defer tick.Stop()
	m, err := withProgress(ctx, c.Map, c.MapProgress, tick.C, show)
	switch {
	case ctx.Err() != nil:
		return m, failed("the node goes on with it: ask again to have it", errors.New("stopped before the map was made"))
	case err != nil:
		return m, explain(err)
	}
	return m, nil
}

func (p *program) showProgress(s client.MapProgress) {
	fmt.Fprintf(p.stderr, "\rasked %d of %d nodes\x1b[K", s.Asked, s.Known)
}

func (p *program) sayProgress(s client.MapProgress) {
	fmt.Fprintf(p.stderr, "p2ping: asked %d of %d nodes\n", s.Asked, s.Known)
}

// withProgress asks for a map, and with each tick that comes meanwhile for how
// far it is, which it shows when that has changed. Nothing is shown after it
// has returned.
func withProgress(
	ctx context.Context,
	ask func(context.Context) (client.Map, error),
	progress func(context.Context) (client.MapProgress, error),
	tick <-chan time.Time,
	show func(client.MapProgress),
) (m client.Map, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		m, err = ask(ctx)
	}()
	var last client.MapProgress
	for {
		select {
		case <-done:
			return m, err
		case <-tick:
			quick, cancel := context.WithTimeout(ctx, mapSeldom)
			s, err := progress(quick)
			cancel()
			if err == nil && s.Running && s != last {
				last = s
				show(s)
			}
		}
	}
}
