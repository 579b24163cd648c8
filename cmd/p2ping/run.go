package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"

	"p2ping/api"
	"p2ping/node"
)

const (
	// closePatience bounds a clean end, of which requests under way may take a
	// part, and a slow disk another. It is less than the ten seconds that Docker
	// waits before it kills. What is acknowledged is on disk long before, so
	// ending without it loses nothing.
	closePatience = api.ShutdownTimeout + 5*time.Second
	// bootstrapPatience is how long --require-bootstrap lets a node look for
	// its peers: a few tries of the connector's.
	bootstrapPatience = 30 * time.Second
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "run a node (what plain `p2ping` does)",
		Description: "The pings go to the standard output, a line each: when it was sent, the text, the author, the\n" +
			"delay, and how it came. All else goes to the standard error. Ctrl-C ends the node.",
		Flags: settingFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			s, _, err := p.settingsOf(cmd)
			if err != nil {
				return err
			}
			return p.runNode(ctx, s)
		},
	}
}

// runNode runs one node until ctx ends.
func (p *program) runNode(ctx context.Context, s settings) error {
	talk := &lockedWriter{w: p.stderr}
	tameLibraries(talk, s)
	m, err := openMember(ctx, s, newLogger(talk, s))
	if err != nil {
		return explainStart(s, err, "or --shift 1")
	}
	liner := newLiner(paletteFor(p.stdout, p.env), time.Local)
	var lines []byte // of one call, written at once
	show := func(pings []shownPing) error {
		lines = lines[:0]
		for _, ping := range pings {
			lines = append(liner.append(lines, ping), '\n')
		}
		_, err := p.stdout.Write(lines)
		return err
	}
	return m.run(ctx, show, func() { announce(talk, m) })
}

// announce tells that the node is up: people by its banner, programs that read
// the log as JSON by a record of it, whatever the level.
func announce(w io.Writer, m *member) {
	info, err := m.node.Info()
	if err != nil {
		return // only a key that can't be encoded fails, and the host has one
	}
	if m.settings.LogFormat != "json" {
		banner(w, m, info)
		return
	}
	slog.New(newHandler(w, "json", slog.LevelInfo)).Info("the node is up", "version", version(), "peer", info.PeerID.String(),
		"topic", info.Topic, "api", m.url, "page", pageURL(m.url), "addresses", info.Addresses)
}

// banner says who the node is, how to join it, how to ping it, and where its
// page is.
func banner(w io.Writer, m *member, info node.Info) {
	fmt.Fprintf(w, "p2ping %s, peer %s, topic %q\n", version(), info.PeerID, info.Topic)
	fmt.Fprintln(w, "To join it, give another node one of these with --bootstrap:")
	for _, addr := range info.Addresses {
		fmt.Fprintln(w, "  "+addr)
	}
	fmt.Fprintln(w, "To send a ping:")
	fmt.Fprintln(w, "  "+curlLine(m.url, m.settings))
	if page := pageURL(m.url); page != "" {
		fmt.Fprintln(w, "To see them in a browser:")
		fmt.Fprintln(w, "  "+page)
	}
}

// run runs the member until ctx ends or a part of it fails, shows every ping
// that comes, and closes it. started is called when pings are taken.
func (m *member) run(parent context.Context, show func([]shownPing) error, started func()) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	showCtx, stopShow := context.WithCancel(context.WithoutCancel(ctx))
	var working, shown, serving sync.WaitGroup
	part := func(group *sync.WaitGroup, run func() error) {
		group.Go(func() {
			if err := run(); err != nil {
				cancel(err)
			}
		})
	}
	part(&working, func() error { return m.node.Run(nodeCtx) })
	part(&shown, func() error { return follow(showCtx, m.ledger, m.start, show) })
	part(&serving, func() error { return m.server.Serve(ctx, m.listener) })
	part(&serving, func() error { return m.hooks.Run(ctx) }) // the next start goes on where it ends
	if m.settings.RequireBootstrap {
		part(&serving, func() error { return requireBootstrap(ctx, m.node.Readiness) })
	}
	started()
	<-ctx.Done()
	return errors.Join(failureOf(parent, ctx), within(closePatience, func() error {
		defer stopShow()
		defer stopNode()
		serving.Wait() // no more pings from here
		stopNode()
		working.Wait() // nor from peers
		stopShow()
		shown.Wait() // and all are shown
		return m.close()
	}))
}

// failureOf returns why ctx ended, nil when its parent told it to.
func failureOf(parent, ctx context.Context) error {
	if cause := context.Cause(ctx); cause != context.Cause(parent) && !errors.Is(cause, context.Canceled) { //nolint:errorlint // whose it is counts, not what
		return cause
	}
	return nil
}

// within calls f, and gives up on it after a while.
func within(patience time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return fmt.Errorf("closing the node took longer than %v, so it was cut off", patience)
	}
}

// requireBootstrap fails when no peer of the topic is reached in time.
func requireBootstrap(ctx context.Context, readiness func() node.Readiness) error {
	const often = 250 * time.Millisecond
	deadline := time.After(bootstrapPatience)
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		ready := readiness()
		if ready.Ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-deadline:
			return failed("start it first, or leave --require-bootstrap out and this node will wait for it",
				fmt.Errorf("no bootstrap peer in %v: %s", bootstrapPatience, strings.Join(ready.Reasons, "; ")))
		}
	}
}
