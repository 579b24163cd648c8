package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/multiformats/go-multiaddr"
	"github.com/urfave/cli/v3"

	"p2ping/node"
)

// maxDemo bounds the nodes of a demo: all are in one process.
const maxDemo = 50

func (p *program) demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "run a small network in this process, to play with",
		Description: "Every node is a whole one, with an identity, ports on the loopback interface and a data directory\n" +
			"of its own, which goes when the demo ends. Ctrl-C ends it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "nodes", DefaultText: "3", Usage: "run `N` nodes"},
			&cli.StringFlag{Name: "topology", DefaultText: "line", Usage: "connect them as a `SHAPE`: line, ring, star or full"},
			&cli.StringFlag{Name: "http-port", DefaultText: "3001", Usage: "serve the first node's API on `PORT`, the next on the ports after it; 0 for any free ones"},
			&cli.StringFlag{Name: "p2p-port", DefaultText: "6001", Usage: "listen for peers on `PORT` with the first node, the next on the ports after it; 0 for any free ones"},
			&cli.StringFlag{Name: "log-level", DefaultText: "warn", Usage: "log from `LEVEL` up: debug, info, warn, error"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			d, err := p.demoOf(cmd)
			if err != nil {
				return err
			}
			return d.run(ctx, p)
		},
	}
}

// demo is a network in one process.
type demo struct {
	nodes             int
	topology          string
	httpPort, p2pPort int
	base              settings
	dir               string // of the scratch directories
}

// demoOf reads and checks the flags.
func (p *program) demoOf(cmd *cli.Command) (*demo, error) {
	s, err := defaultSettings()
	if err != nil {
		return nil, err
	}
	s.LogLevel = slog.LevelWarn
	s.Discovery = false // or every small network would end up full, whatever its shape
	d := &demo{nodes: 3, topology: "line", httpPort: s.HTTPPort, p2pPort: s.P2PPort, base: s}
	checks := []struct {
		flag string
		set  func(v string) error
	}{
		{"nodes", func(v string) error { return d.setNodes(v) }},
		{"topology", func(v string) error { d.topology = v; return oneOf(v, "line", "ring", "star", "full") }},
		{"http-port", func(v string) error { return d.setPorts(&d.httpPort, v) }},
		{"p2p-port", func(v string) error { return d.setPorts(&d.p2pPort, v) }},
		{"log-level", func(v string) error { return setLevel(&d.base.LogLevel, v) }},
	}
	for _, c := range checks {
		if !cmd.IsSet(c.flag) {
			continue
		}
		if err := c.set(cmd.String(c.flag)); err != nil {
			return nil, usage("`p2ping demo --help` explains the options", "--%s: %q: %w", c.flag, cmd.String(c.flag), err)
		}
	}
	return d, nil
}

func (d *demo) setNodes(v string) error {
	if err := setInt(&d.nodes, v); err != nil || d.nodes < 1 || d.nodes > maxDemo {
		return fmt.Errorf("a number from 1 to %d is wanted", maxDemo)
	}
	return nil
}

func (d *demo) setPorts(dst *int, v string) error {
	if err := setPort(dst, v); err != nil {
		return err
	}
	if *dst+d.nodes-1 > maxPort {
		return errors.New("the ports after it end before the last node")
	}
	return nil
}

// edges returns whom each node is told of, by number from 0: always nodes that
// start before it.
func edges(topology string, nodes int) [][]int {
	known := make([][]int, nodes)
	for i := 1; i < nodes; i++ {
		switch topology {
		case "star":
			known[i] = []int{0}
		case "full":
			for j := range i {
				known[i] = append(known[i], j)
			}
		default:
			known[i] = []int{i - 1}
		}
	}
	if topology == "ring" && nodes > 2 {
		known[nodes-1] = append(known[nodes-1], 0)
	}
	return known
}

// settingsFor are the settings of node i, told of the addresses known.
func (d *demo) settingsFor(i int, known []string) (settings, error) {
	s := d.base
	s.DataDir = filepath.Join(d.dir, strconv.Itoa(i+1))
	s.HTTP = "127.0.0.1:" + strconv.Itoa(shifted(d.httpPort, i))
	s.P2PPort = shifted(d.p2pPort, i)
	s.Bootstrap = known
	for _, format := range []string{"/ip4/127.0.0.1/tcp/%d", "/ip4/127.0.0.1/tcp/%d/ws", "/ip4/127.0.0.1/udp/%d/quic-v1"} {
		addr, err := multiaddr.NewMultiaddr(fmt.Sprintf(format, s.P2PPort))
		if err != nil {
			return settings{}, err
		}
		s.Listen = append(s.Listen, addr)
	}
	return s, nil
}

// run runs the demo until ctx ends, and removes what it left on disk.
func (d *demo) run(ctx context.Context, p *program) (err error) {
	if d.dir, err = os.MkdirTemp("", "p2ping-demo-"); err != nil {
		return fmt.Errorf("making a scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	talk := &lockedWriter{w: p.stderr}
	logs := &untilDone{done: inner.Done(), w: talk}
	tameLibraries(logs, d.base)
	members, err := d.open(inner, logs)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	show := d.shower(p, members)
	for i, m := range members {
		running.Go(func() {
			if err := m.run(inner, show(i), func() {}); err != nil {
				cancel(err)
			}
		})
	}
	settle(inner, members, degrees(edges(d.topology, d.nodes)))
	d.banner(talk, members)
	running.Wait()
	return failureOf(ctx, inner)
}

// untilDone writes to w until done is closed, and then nothing: nodes that end
// one after the other miss each other, and would say so.
type untilDone struct {
	done <-chan struct{}
	w    io.Writer
}

func (u *untilDone) Write(b []byte) (int, error) {
	select {
	case <-u.done:
		return len(b), nil
	default:
		return u.w.Write(b)
	}
}

// open opens all nodes, each told of those before it that the topology says.
func (d *demo) open(ctx context.Context, talk io.Writer) ([]*member, error) {
	members := make([]*member, 0, d.nodes)
	addrs := make([]string, 0, d.nodes) // one of each member
	for i, known := range edges(d.topology, d.nodes) {
		var bootstrap []string
		for _, j := range known {
			bootstrap = append(bootstrap, addrs[j])
		}
		m, addr, err := d.openOne(ctx, i, bootstrap, talk)
		if err != nil {
			for _, m := range members {
				err = errors.Join(err, m.close())
			}
			return nil, err
		}
		members, addrs = append(members, m), append(addrs, addr)
	}
	return members, nil
}

func (d *demo) openOne(ctx context.Context, i int, bootstrap []string, talk io.Writer) (*member, string, error) {
	s, err := d.settingsFor(i, bootstrap)
	if err != nil {
		return nil, "", err
	}
	m, err := openMember(ctx, s, newLogger(talk, s).With("node", i+1))
	if err != nil {
		return nil, "", explainStart(s, err, "0 for any free ones")
	}
	info, err := m.node.Info()
	if err == nil && len(info.Addresses) == 0 {
		err = errors.New("the node has no address")
	}
	if err != nil {
		return nil, "", errors.Join(err, m.close())
	}
	return m, info.Addresses[0], nil
}

// settle waits until every node exchanges pings with as many peers as it has
// in the topology, but not for long: the demo is nicer to look at when the
// first ping goes everywhere at once, instead of being caught up.
func settle(ctx context.Context, members []*member, degrees []int) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i, m := range members {
		for !meshed(m.node.Peers(), degrees[i]) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// degrees counts each node's neighbours.
func degrees(edges [][]int) []int {
	counts := make([]int, len(edges))
	for i, known := range edges {
		for _, j := range known {
			counts[i]++
			counts[j]++
		}
	}
	return counts
}

// meshed tells whether that many peers are there, and GossipSub has taken them
// into its mesh, as many as it wants at least.
func meshed(peers []node.PeerInfo, degree int) bool {
	topic, mesh := 0, 0
	for _, p := range peers {
		if p.OnTopic {
			topic++
		}
		if p.InMesh {
			mesh++
		}
	}
	return topic >= degree && mesh >= min(topic, pubsub.GossipSubDlo)
}

// shower returns what shows the pings of node i: labelled by the node that
// shows it, and with the author's number for a name.
func (d *demo) shower(p *program, members []*member) func(i int) func([]shownPing) error {
	names := make(map[string]string, len(members))
	for i, m := range members {
		names[m.host.ID().String()] = demoName(i)
	}
	out := &lockedWriter{w: p.stdout}
	colours := paletteFor(p.stdout, p.env)
	return func(i int) func([]shownPing) error {
		return func(pings []shownPing) error {
			for _, ping := range pings {
				ping.name = names[ping.author]
				if _, err := fmt.Fprintf(out, "%s | %s\n", colours.paint(cyan, demoName(i)), ping.line(colours, time.Local)); err != nil {
					return err
				}
			}
			return nil
		}
	}
}

func (d *demo) banner(w io.Writer, members []*member) {
	fmt.Fprintf(w, "p2ping %s: %s. To send a ping, from another terminal:\n", version(), d.shape())
	for i, m := range members {
		fmt.Fprintf(w, "  %s: %s\n", demoName(i), curlLine(m.url, m.settings))
	}
	fmt.Fprintf(w, "To see them in a browser: %s\n", pageURL(members[0].url))
	fmt.Fprintln(w, "Ctrl-C ends the demo, and leaves nothing behind.")
}

// shape says how many nodes there are, and how they are connected.
func (d *demo) shape() string {
	nodes := counted(d.nodes, "node", "nodes")
	switch {
	case d.nodes == 1:
		return nodes
	case d.topology == "full":
		return nodes + ", each connected to all others"
	}
	return nodes + ", connected as a " + d.topology
}

func demoName(i int) string { return "node " + strconv.Itoa(i+1) }
