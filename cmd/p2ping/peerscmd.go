package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
)

func (p *program) peersCommand() *cli.Command {
	return &cli.Command{
		Name:  "peers",
		Usage: "list the peers that a node is connected to",
		Flags: nodeFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			c, err := p.connect(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			peers, err := c.Peers(ctx)
			if err != nil {
				return explain(err)
			}
			if cmd.Bool("json") {
				return p.printJSON(client.Peers{Peers: append([]client.Peer{}, peers...)})
			}
			return p.showPeers(peers)
		},
	}
}

func (p *program) showPeers(peers []client.Peer) error {
	t := p.table("PEER", "TOPIC", "MESH", "RTT", "FOUND", "DIRECTION", "TRANSPORT", "AGENT", "CONNECTED", "ADDRESS")
	for _, peer := range peers {
		t.row(peer.PeerID, yesNo(peer.OnTopic), yesNo(peer.InMesh), rtt(peer.RTT), peer.Found, peer.Direction, peer.Transport, peer.Agent,
			peer.ConnectedAt.Local().Format(time.DateTime), strings.Join(peer.Addresses, " "))
	}
	if len(peers) == 0 {
		fmt.Fprintln(p.stderr, "p2ping: no peer is connected: `p2ping health` says why")
	}
	return t.flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// rtt writes milliseconds, nothing for not known.
func rtt(ms float64) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprintf("%.1fms", ms)
}

func (p *program) connectCommand() *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "connect a node to a peer, for as long as it runs",
		ArgsUsage: "MULTIADDR",
		Flags:     nodeFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return usage("such as /ip4/127.0.0.1/tcp/6001/p2p/12D3...: a node prints its own when it starts",
					"connect takes one multiaddr, but was given %d arguments", cmd.Args().Len())
			}
			c, err := p.connect(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			id, err := c.Connect(ctx, cmd.Args().First())
			if err != nil {
				return explainValues(err)
			}
			if cmd.Bool("json") {
				return p.printJSON(client.Connected{PeerID: id})
			}
			fmt.Fprintf(p.stdout, "connected to %s\n", escape(id))
			return nil
		},
	}
}
