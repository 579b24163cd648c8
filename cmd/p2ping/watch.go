package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
)

func (p *program) watchCommand() *cli.Command {
	return &cli.Command{
		Name:  "watch",
		Usage: "show recent pings, then every new one as it comes",
		Description: "It goes on where it was when the node is restarted: nothing is missed, nothing shown twice.\n" +
			"With --json, a line of JSON for each ping. Ctrl-C ends it.",
		Flags: append(nodeFlags(),
			&cli.StringFlag{Name: "since", Usage: "begin after `WHEN`: a time, how long ago such as 10m or 7d, a ping's id, a cursor, or 0 for all that is kept"},
			&cli.IntFlag{Name: "recent", Value: 10, DefaultText: "10", Usage: "begin with the last `N` pings, up to 1000; --since goes before it"},
			&cli.IntFlag{Name: "count", HideDefault: true, Usage: "end after `N` pings"},
			&cli.StringFlag{Name: "author", Usage: "show the pings of `PEER` alone"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			if cmd.Int("count") < 0 || cmd.Int("recent") < 0 {
				return usage("`p2ping watch --help` lists the options", "--count and --recent are numbers from 0 up")
			}
			if cmd.IsSet("since") && cmd.String("since") == "" {
				return usage("0 begins with all that is kept; leave it out for the last pings", "--since is empty")
			}
			c, err := p.connect(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			q := client.FollowQuery{Since: cmd.String("since"), Recent: cmd.Int("recent"), Author: cmd.String("author")}
			q.Broken, q.Opened = p.outages()
			return p.watch(ctx, c, q, cmd.Int("count"), cmd.Bool("json"))
		},
	}
}

// watch shows what comes until ctx ends, or until it has shown count pings,
// unless that is 0.
func (p *program) watch(ctx context.Context, c *client.Client, q client.FollowQuery, count int, asJSON bool) error {
	show := p.pingPrinter(asJSON)
	shown := 0
	for event, err := range c.Follow(ctx, q) {
		switch {
		case ctx.Err() != nil:
			return nil // as it was told
		case err != nil:
			return explainValues(err)
		case event.Gap != nil && event.Gap.Reason == client.GapOtherLedger:
			fmt.Fprintln(p.stderr, "p2ping: the node has not the ledger that it had: what it has comes now, and may have been shown already")
		case event.Gap != nil:
			fmt.Fprintln(p.stderr, "p2ping: pings are missing here: they were forgotten before they could be shown (--retention)")
		case event.Ping != nil:
			if err := show(*event.Ping); err != nil {
				return err
			}
			if shown++; shown == count {
				return nil
			}
		}
	}
	return nil
}

// outages returns what tells that a stream broke and is not given up, once
// however often it is tried again, and what tells that it stands again.
func (p *program) outages() (broken func(error, time.Duration), opened func()) {
	out := false
	broken = func(err error, _ time.Duration) {
		if !out {
			fmt.Fprintf(p.stderr, "p2ping: the node is gone, waiting for it: %s\n", oneLine(err.Error()))
		}
		out = true
	}
	opened = func() {
		if out {
			fmt.Fprintln(p.stderr, "p2ping: the node is back")
		}
		out = false
	}
	return broken, opened
}

// pingPrinter prints pings, each on a line: for people, or as JSON.
func (p *program) pingPrinter(asJSON bool) func(client.Ping) error {
	if asJSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		return func(ping client.Ping) error { return encoder.Encode(ping) }
	}
	colours := paletteFor(p.stdout, p.env)
	return func(ping client.Ping) error {
		line := shownPing{
			text: ping.Text, author: ping.Author, sent: ping.SentAt.Time, received: ping.ReceivedAt.Time, via: ping.Via,
		}.line(colours, time.Local)
		_, err := fmt.Fprintln(p.stdout, line)
		return err
	}
}

func (p *program) historyCommand() *cli.Command {
	return &cli.Command{
		Name:        "history",
		Usage:       "print the pings that a node keeps, in the order of time",
		Description: "With --json, a line of JSON for each ping.",
		Flags: append(nodeFlags(),
			&cli.StringFlag{Name: "since", Usage: "leave out what is older than `WHEN`: a time, how long ago such as 10m or 7d, or a ping's id"},
			&cli.StringFlag{Name: "until", Usage: "leave out what is newer than `WHEN`"},
			&cli.StringFlag{Name: "author", Usage: "print the pings of `PEER` alone"},
			&cli.IntFlag{Name: "limit", HideDefault: true, Usage: "print only the newest `N`, up to 1000 (default: all)"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			if cmd.Int("limit") < 0 {
				return usage("leave it out for all", "--limit is a number from 1 up")
			}
			c, err := p.connect(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			show := p.pingPrinter(cmd.Bool("json"))
			query := client.Query{Since: cmd.String("since"), Until: cmd.String("until"), Author: cmd.String("author"), Limit: cmd.Int("limit")}
			for ping, err := range c.History(ctx, query) {
				if err != nil {
					return explainValues(err)
				}
				if err := show(ping); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (p *program) healthCommand() *cli.Command {
	return &cli.Command{
		Name:        "health",
		Usage:       "tell whether a node can do its work, and if not, why",
		Description: "The exit code is 0 when it is ready, 1 when it is not, 3 when no node answers.",
		Flags:       append(nodeFlags(), &cli.DurationFlag{Name: "wait", HideDefault: true, Usage: "give it `DURATION` to become ready, such as 10s"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			if err := notNegative(cmd, "wait"); err != nil {
				return err
			}
			ready, err := p.awaitReady(ctx, cmd)
			if err != nil {
				return explain(err)
			}
			if cmd.Bool("json") {
				err = p.printJSON(ready)
			} else {
				fmt.Fprintln(p.stdout, healthLine(ready))
			}
			if err == nil && !ready.Ready {
				err = silent(exitFailed)
			}
			return err
		},
	}
}

func healthLine(r client.Readiness) string {
	state := "ready"
	if !r.Ready {
		state = "not ready"
	}
	if len(r.Reasons) == 0 {
		return state
	}
	return state + ": " + escape(strings.Join(r.Reasons, "; "))
}

// awaitReady asks the node until it is ready, or the time to wait is over, and
// returns the last answer. It looks for the node anew each time: one that
// starts meanwhile counts.
func (p *program) awaitReady(ctx context.Context, cmd *cli.Command) (ready client.Readiness, err error) {
	const often = 100 * time.Millisecond
	interrupted := retry(ctx, cmd.Duration("wait"), often, func(time.Duration) bool {
		ready, err = p.askReady(ctx, cmd)
		return err == nil && ready.Ready
	})
	return ready, cmp.Or(interrupted, err)
}

func (p *program) askReady(ctx context.Context, cmd *cli.Command) (client.Readiness, error) {
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return client.Readiness{}, err
	}
	defer c.Close()
	return readyWithin(ctx, c, answerTime)
}

func readyWithin(ctx context.Context, c *client.Client, d time.Duration) (client.Readiness, error) {
	ready, err := askWithin(ctx, d, c.Ready)
	switch {
	case errors.Is(err, client.ErrSilent):
		err = &failure{code: exitNoNode, err: err, hint: hangHint}
	case isNoNode(err):
		err = &failure{code: exitNoNode, err: err, hint: "is that a p2ping node's API? Its P2P port is another"}
	}
	return ready, err
}

// isNoNode tells from what was asked whether it is ready, and did not say so,
// whether it is no p2ping node: all of these have a /readyz.
func isNoNode(err error) bool {
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		return refusal.Status < 400 || refusal.Status == http.StatusNotFound || refusal.Status == http.StatusMethodNotAllowed
	}
	_, known := errors.AsType[*failure](explain(err))
	return err != nil && !known
}
