package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
)

func (p *program) syncCommand() *cli.Command {
	return &cli.Command{
		Name:  "sync",
		Usage: "show what a node holds, or compare nodes",
		Description: "With --with, the node and those named are compared: the exit code is 0 when all agree, 1 when not.\n" +
			"Equal digests mean equal ledgers: `p2ping ledger ids | sha256sum` computes one by hand.",
		Flags: append(nodeFlags(),
			&cli.StringSliceFlag{Name: "with", Usage: "compare with the node at `URL`; repeatable"},
			&cli.DurationFlag{Name: "wait", HideDefault: true, Usage: "give them `DURATION` to become equal, such as 10s"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			if cmd.IsSet("wait") && !cmd.IsSet("with") {
				return usage("name the other nodes by --with URL", "--wait: there is nothing to wait for")
			}
			if err := notNegative(cmd, "wait"); err != nil {
				return err
			}
			url, err := p.findAPI(ctx, cmd.String("api"), cmd.String("data-dir"))
			if err != nil {
				return err
			}
			a, err := p.accessOf(cmd)
			if err != nil {
				return err
			}
			nodes, err := clientsOf(a, append([]string{url}, cmd.StringSlice("with")...))
			if err != nil {
				return err
			}
			defer func() {
				for _, n := range nodes {
					n.client.Close()
				}
			}()
			if cmd.IsSet("with") {
				if err := refuseTwice(ctx, nodes); err != nil {
					return err
				}
			}
			if err := askUntilEqual(ctx, nodes, cmd.Duration("wait")); err != nil {
				return err
			}
			if !cmd.IsSet("with") {
				return p.showSync(nodes[0].sync, cmd.Bool("json"))
			}
			return p.compareNodes(ctx, nodes, cmd.Bool("json"))
		},
	}
}

// clientsOf makes a client for every node. All are shown the same token: whoever
// names a node here trusts it as much as the first.
func clientsOf(a access, urls []string) ([]*compared, error) {
	nodes := make([]*compared, 0, len(urls))
	for _, url := range urls {
		c, err := a.client(url)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, &compared{API: url, client: c})
	}
	return nodes, nil
}

// askUntilEqual asks every node for its state, one after the other, and again
// until their digests are equal or the time to wait is over.
func askUntilEqual(ctx context.Context, nodes []*compared, wait time.Duration) (err error) {
	const often = 250 * time.Millisecond
	interrupted := retry(ctx, wait, often, func(left time.Duration) bool {
		err = askAll(ctx, nodes, max(left, answerTime))
		return err != nil || equal(nodes)
	})
	return cmp.Or(err, explain(interrupted))
}

// askAll asks every node for its state. Each may take as long as given.
func askAll(ctx context.Context, nodes []*compared, patience time.Duration) error {
	for i, n := range nodes {
		state, err := askWithin(ctx, patience, n.client.Sync)
		if err != nil {
			return explainOf(nodes, i, err)
		}
		n.Entries, n.Digest, n.sync = state.Entries, state.Digest, state
	}
	return nil
}

// refuseTwice refuses nodes that are the same one by several URLs: it would
// agree with itself, whatever the others hold.
func refuseTwice(ctx context.Context, nodes []*compared) error {
	urls := make(map[string]string, len(nodes)) // by peer ID
	for i, n := range nodes {
		id, err := askWithin(ctx, answerTime, n.client.ID)
		if err != nil {
			return explainOf(nodes, i, err)
		}
		if url, ok := urls[id.PeerID]; ok {
			return usage("name each node once; --api says which is compared with those after --with",
				"%s and %s are the same node, %s", url, n.API, id.PeerID)
		}
		urls[id.PeerID] = n.API
	}
	return nil
}

// explainOf is explain, of what the i-th of several nodes was asked.
func explainOf(nodes []*compared, i int, err error) error {
	switch {
	case errors.Is(err, client.ErrSilent):
		err = fmt.Errorf("%s: %w", nodes[i].API, err)
	case i > 0 && errors.Is(err, client.ErrUnreachable):
		return &failure{code: exitNoNode, err: err, hint: "is it running, and is the URL after --with that of its API?"}
	}
	return explain(err)
}

// equal reports whether all hold the same, as their digests say.
func equal(nodes []*compared) bool {
	return !slices.ContainsFunc(nodes, func(n *compared) bool { return n.Digest != nodes[0].Digest })
}

func (p *program) showSync(s client.Sync, asJSON bool) error {
	if asJSON {
		return p.printJSON(s)
	}
	t := p.fields()
	t.row("entries", strconv.Itoa(s.Entries))
	t.row("pings", strconv.Itoa(s.Pings))
	t.row("bytes", strconv.FormatInt(s.Bytes, 10))
	t.row("kept since", s.Floor.Local().Format(timeLayout))
	t.row("digest", s.Digest)
	if s.Full {
		t.row("disk", "full: publishing is refused until there is room")
	}
	if err := t.flush(); err != nil || len(s.Peers) == 0 {
		return err
	}
	fmt.Fprintln(p.stdout)
	t = p.table("PEER", "COMPARED", "AGREED", "MISSING", "EXTRA", "CLOCK", "ERROR")
	for _, peer := range s.Peers {
		t.row(peer.PeerID, peer.ComparedAt.Local().Format(timeLayout), yesNo(peer.Agreed),
			strconv.Itoa(peer.Missing), strconv.Itoa(peer.Extra), skew(peer.Skew), peer.Error)
	}
	return t.flush()
}

// skew says how a peer's clock differs, if by more than the minute that people
// need to know of.
func skew(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond)).Round(time.Second)
	switch {
	case d > time.Minute:
		return d.String() + " ahead"
	case d < -time.Minute:
		return (-d).String() + " behind"
	}
	return "ok"
}
