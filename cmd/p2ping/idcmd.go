package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
	"p2ping/keys"
)

func (p *program) idCommand() *cli.Command {
	return &cli.Command{
		Name:      "id",
		Usage:     "show who a node is, or what a key, a peer ID or an address says",
		ArgsUsage: "[WHAT]",
		Description: "Without WHAT, the node that runs is asked. With it no node is needed: WHAT is a data directory, a\n" +
			"key file in any format, - for the standard input, a peer ID in any encoding, or a multiaddr.",
		Flags: nodeFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			switch cmd.Args().Len() {
			case 0:
				return p.idOnline(ctx, cmd)
			case 1:
				return p.idOffline(cmd.Args().First(), cmd.Bool("json"))
			}
			return usage("ask for one at a time", "id takes at most one argument, but was given %d", cmd.Args().Len())
		},
	}
}

func (p *program) idOnline(ctx context.Context, cmd *cli.Command) error {
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	id, err := c.ID(ctx)
	if err != nil {
		return explain(err)
	}
	if cmd.Bool("json") {
		return p.printJSON(id)
	}
	return p.showID(id)
}

func (p *program) showID(id client.ID) error {
	t := p.fields()
	if d, err := keys.Describe([]byte(id.PeerID)); err == nil {
		t.describe(d)
	} else { // not one of ours, then, but let people see it
		t.row("peer ID", id.PeerID)
		t.row("public key", base64.StdEncoding.EncodeToString(id.PublicKey))
	}
	t.row("topic", id.Topic)
	t.row("agent", id.Agent)
	t.row("started", id.StartedAt.Local().Format(timeLayout))
	for _, r := range id.Reached {
		t.row("reached", fmt.Sprintf("from %s, last %s", r.From, r.At.Local().Format(timeLayout)))
	}
	if len(id.Reached) == 0 {
		t.row("reached", "by nobody who dialled it, so far")
	}
	for _, addr := range id.Addresses {
		t.row("address", addr)
	}
	return t.flush()
}

// idOffline describes a key, a peer ID or an address.
func (p *program) idOffline(what string, asJSON bool) error {
	d, err := p.describe(what)
	if err != nil {
		return err
	}
	return p.showDescription(d, asJSON)
}

func (p *program) showDescription(d keys.Description, asJSON bool) error {
	if asJSON {
		return p.printJSON(d)
	}
	t := p.fields()
	t.describe(d)
	return t.flush()
}

// describe tells a directory and a file from what is described itself.
func (p *program) describe(what string) (d keys.Description, err error) {
	read := func(in io.Reader) error {
		data, err := keys.Read(in)
		if err != nil {
			return err
		}
		d, err = keys.Describe(data)
		return err
	}
	info, missing := os.Stat(what)
	switch {
	case what == "-":
		err = read(p.stdin)
		return d, err
	case missing == nil && info.IsDir():
		return describeFile(filepath.Join(what, keys.FileName))
	case missing == nil:
		err = withFile(what, read)
		return d, err
	}
	if d, err = keys.Describe([]byte(what)); err == nil {
		return d, nil
	}
	if strings.HasPrefix(what, "/") { // a path, or an address with something wrong in it
		err = fmt.Errorf("%q is no file, and no peer ID or address: %w", what, err)
	} else {
		err = fmt.Errorf("%q is no file, and no peer ID or address", what)
	}
	return d, failed("give a data directory, a key file, a peer ID such as 12D3Koo..., or a multiaddr that ends in one", err)
}

// describeFile describes the key of a data directory, which is held to its
// rules: not to be open to others.
func describeFile(path string) (keys.Description, error) {
	key, err := keys.Load(path)
	if err != nil {
		return keys.Description{}, err
	}
	return describeKey(key)
}

// describe adds the rows of a description.
func (t table) describe(d keys.Description) {
	t.row("peer ID", d.PeerID)
	t.row("CID", d.CID)
	t.row("key type", d.KeyType)
	t.row("public key", d.PublicKey)
	t.row("public key, hex", d.PublicKeyHex)
}
