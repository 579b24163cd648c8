package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"p2ping/api/client"
)

// compared is one node of a comparison.
type compared struct {
	API     string `json:"api"`
	Entries int    `json:"entries"`
	Digest  string `json:"digest"`
	// Missing counts the entries that another node has and this one lacks, and
	// MissingSince is the time of the oldest of them.
	Missing      int          `json:"missing"`
	MissingSince *client.Time `json:"missing_since,omitempty"`

	client *client.Client
	sync   client.Sync
}

// comparison is what `p2ping sync --with` prints as JSON.
type comparison struct {
	Agree bool `json:"agree"`
	// Since is the latest floor of the nodes: what is older is not compared.
	Since client.Time `json:"since"`
	// Digest is what all nodes have; "" where some keep more, of older times.
	Digest string      `json:"digest,omitempty"`
	Nodes  []*compared `json:"nodes"`
}

// compareNodes prints how the nodes' ledgers compare. Digests say whether they
// are equal; only where they differ are the ids of all entries fetched.
func (p *program) compareNodes(ctx context.Context, nodes []*compared, asJSON bool) error {
	c := comparison{Agree: equal(nodes), Nodes: nodes, Since: latestFloor(nodes)}
	if c.Agree {
		c.Digest = nodes[0].Digest
	} else {
		if err := findMissing(ctx, c); err != nil {
			return explain(err)
		}
		c.Agree = !slices.ContainsFunc(nodes, func(n *compared) bool { return n.Missing > 0 })
	}
	var err error
	if asJSON {
		err = p.printJSON(c)
	} else {
		p.showComparison(c)
	}
	if err == nil && !c.Agree {
		err = silent(exitFailed)
	}
	return err
}

func latestFloor(nodes []*compared) client.Time {
	return slices.MaxFunc(nodes, func(a, b *compared) int { return a.sync.Floor.Compare(b.sync.Floor.Time) }).sync.Floor
}

// findMissing fetches the nodes' entries and counts what each lacks of what
// another has, from the latest floor on.
func findMissing(ctx context.Context, c comparison) error {
	type holders struct {
		time time.Time
		has  []bool // by node
	}
	entries := make(map[string]*holders)
	for i, n := range c.Nodes {
		n.Entries = 0
		for e, err := range n.client.Entries(ctx) {
			if err != nil {
				return err
			}
			if e.Time.Before(c.Since.Time) {
				continue
			}
			n.Entries++
			h := entries[e.ID]
			if h == nil {
				h = &holders{time: e.Time.Time, has: make([]bool, len(c.Nodes))}
				entries[e.ID] = h
			}
			h.has[i] = true
		}
	}
	for _, h := range entries {
		for i, has := range h.has {
			if n := c.Nodes[i]; !has {
				n.Missing++
				if n.MissingSince == nil || h.time.Before(n.MissingSince.Time) {
					n.MissingSince = &client.Time{Time: h.time}
				}
			}
		}
	}
	return nil
}

func (p *program) showComparison(c comparison) {
	switch {
	case c.Digest != "":
		fmt.Fprintf(p.stdout, "%d of %d agree: %s, digest %s\n", len(c.Nodes), len(c.Nodes), entries(c.Nodes[0].Entries), c.Digest)
		return
	case c.Agree:
		fmt.Fprintf(p.stdout, "%d of %d agree: %s since %s\n", len(c.Nodes), len(c.Nodes), entries(c.Nodes[0].Entries), c.Since.Local().Format(timeLayout))
		return
	}
	agree := 0
	for _, n := range c.Nodes {
		if n.Missing == 0 {
			agree++
		}
	}
	fmt.Fprintf(p.stdout, "%d of %d have all entries\n", agree, len(c.Nodes))
	for _, n := range c.Nodes {
		if n.Missing == 0 {
			fmt.Fprintf(p.stdout, "%s has all %s\n", n.API, entries(n.Entries))
			continue
		}
		fmt.Fprintf(p.stdout, "%s has %s and lacks %d, since %s\n", n.API, entries(n.Entries), n.Missing, n.MissingSince.Local().Format(timeLayout))
	}
}

// entries counts entries in words.
func entries(n int) string { return counted(n, "entry", "entries") }

// counted counts things in words.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
