package main

import (
	"context"
	"fmt"
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
		Flags: append(nodeFlags(), &cli.StringSliceFlag{Name: "with", Usage: "compare with the node at `URL`; repeatable"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
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
			nodes, err := askAll(ctx, a, append([]string{url}, cmd.StringSlice("with")...))
			if err != nil {
				return err
			}
			defer func() {
				for _, n := range nodes {
					n.client.Close()
				}
			}()
			if !cmd.IsSet("with") {
				return p.showSync(nodes[0].sync, cmd.Bool("json"))
			}
			return p.compareNodes(ctx, nodes, cmd.Bool("json"))
		},
	}
}

// askAll asks every node for its state, one after the other. All are shown the
// same token: whoever names a node here trusts it as much as the first.
func askAll(ctx context.Context, a access, urls []string) ([]*compared, error) {
	nodes := make([]*compared, 0, len(urls))
	for _, url := range urls {
		c, err := a.client(url)
		if err != nil {
			return nil, err
		}
		state, err := c.Sync(ctx)
		if err != nil {
			return nil, explain(err)
		}
		nodes = append(nodes, &compared{API: url, Entries: state.Entries, Digest: state.Digest, client: c, sync: state})
	}
	return nodes, nil
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
