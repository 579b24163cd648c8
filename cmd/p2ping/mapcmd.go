package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
)

func (p *program) mapCommand() *cli.Command {
	return &cli.Command{
		Name:  "map",
		Usage: "draw the network, as a node's peers, theirs and so on see it",
		Description: "At most 256 nodes are asked, 8 at a time, for 15 seconds at most. What a node tells is its own claim, so\n" +
			"every link names who claims it; what is missing is said. `p2ping map --dot | dot -Tsvg` makes a picture.",
		Flags: append(nodeFlags(), &cli.BoolFlag{Name: "dot", Usage: "print a graph in Graphviz's language instead of a table"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			if cmd.Bool("json") && cmd.Bool("dot") {
				return usage("leave one of them out", "--json and --dot are two ways to print the same")
			}
			c, err := p.connect(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			m, err := p.askForMap(ctx, c)
			if err != nil {
				return err
			}
			switch {
			case cmd.Bool("json"):
				return p.printJSON(m)
			case cmd.Bool("dot"):
				_, err := p.stdout.Write([]byte(dot(m)))
				return err
			}
			return p.showMap(m)
		},
	}
}

// showMap numbers the nodes, so that links fit on a line.
func (p *program) showMap(m client.Map) error {
	number := make(map[string]string, len(m.Nodes))
	t := p.table("NODE", "PEER", "STATE", "AGENT", "ENTRIES", "PINGS", "PEERS")
	for i, n := range m.Nodes {
		number[n.PeerID] = strconv.Itoa(i + 1)
		if !n.Answered {
			t.row(number[n.PeerID], n.PeerID, n.State, "", "", "", "")
			continue
		}
		t.row(number[n.PeerID], n.PeerID, n.State, n.Agent, strconv.FormatInt(n.Entries, 10), strconv.FormatInt(n.Pings, 10), strconv.Itoa(n.TopicPeers))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if len(m.Edges) > 0 {
		fmt.Fprintln(p.stdout)
		t = p.table("LINK", "MESH", "RTT", "CLAIMED BY")
		for _, e := range m.Edges {
			t.row(number[e.From]+"-"+number[e.To], yesNo(e.InMesh), rtt(e.RTT), claimedBy(m, e, number))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if !m.Complete {
		fmt.Fprintf(p.stderr, "The map is not complete: %s.\n", strings.Join(missing(m), "; "))
	}
	return nil
}

// missing says why a map is not complete: what those see whom it names is not
// on it.
func missing(m client.Map) []string {
	states := make(map[string]int)
	hiding := 0
	for _, n := range m.Nodes {
		states[n.State]++
		if n.TopicPeers > mostTold {
			hiding++
		}
	}
	var why []string
	say := func(n int, one, many string) {
		switch {
		case n == 1:
			why = append(why, "1 node "+one)
		case n > 1:
			why = append(why, strconv.Itoa(n)+" nodes "+many)
		}
	}
	say(states[client.MapSilent], "answers nobody", "answer nobody")
	say(states[client.MapUnreached], "did not answer", "did not answer")
	say(states[client.MapUnasked]-m.Left, "was not asked, as nobody tells where it is", "were not asked, as nobody tells where they are")
	say(m.Left, "was left unasked", "were left unasked")
	say(m.Undrawn, "has no room on it", "have no room on it")
	say(hiding, "has more peers than it tells of", "have more peers than they tell of")
	if m.EndedEarly {
		why = append(why, "time ran out")
	}
	return why
}

// mostTold is how many of its peers a node tells of: who has more may have left
// one out.
const mostTold = 64

// claimedBy says which ends tell of a link, and whether the other one denies it.
func claimedBy(m client.Map, e client.MapEdge, number map[string]string) string {
	if len(e.ClaimedBy) != 1 {
		return "both"
	}
	by, other := e.ClaimedBy[0], e.To
	if other == by {
		other = e.From
	}
	denies := slices.ContainsFunc(m.Nodes, func(n client.MapNode) bool {
		return n.PeerID == other && n.Answered && n.TopicPeers <= mostTold
	})
	if denies {
		return number[by] + ", not by " + number[other]
	}
	return number[by]
}

// dot writes a map as an undirected graph: mesh links bold, those that one end
// alone claims dashed, as are nodes that did not answer, and dotted those that
// answer nobody.
func dot(m client.Map) string {
	var b strings.Builder
	b.WriteString("graph p2ping {\n")
	for i, n := range m.Nodes {
		label := escape(n.PeerID[max(0, len(n.PeerID)-8):])
		style := ""
		if n.Answered {
			label += "\n" + escape(n.Agent) + "\npings: " + strconv.FormatInt(n.Pings, 10)
		} else {
			label += "\n" + escape(n.State)
			style = ", style=dashed"
			if n.State == client.MapSilent {
				style = ", style=dotted"
			}
		}
		if i == 0 {
			style = ", peripheries=2"
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", dotString(n.PeerID), dotString(label), style)
	}
	for _, e := range m.Edges {
		var attributes []string
		if ms := rtt(e.RTT); ms != "" {
			attributes = append(attributes, "label="+dotString(ms))
		}
		if len(e.ClaimedBy) == 1 {
			attributes = append(attributes, "style=dashed")
		}
		if e.InMesh {
			attributes = append(attributes, "penwidth=2")
		}
		fmt.Fprintf(&b, "  %s -- %s", dotString(e.From), dotString(e.To))
		if len(attributes) > 0 {
			fmt.Fprintf(&b, " [%s]", strings.Join(attributes, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// dotString quotes a string for DOT, where a backslash begins an escape and a
// line break is one.
func dotString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
