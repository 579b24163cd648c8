package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v3"

	"p2ping/keys"
)

func (p *program) keyCommand() *cli.Command {
	return &cli.Command{
		Name:  "key",
		Usage: "make, show, import and export a node's key",
		Description: "The key is in the data directory that `p2ping run` would use with the same\n" +
			"options: it is what the peer ID follows from. It is never overwritten.",
		Commands: []*cli.Command{
			{
				Name: "new", Usage: "make a key before the node first runs, and print its peer ID",
				Flags: append(keyFlags(), jsonFlag()), Action: p.keyNew,
			},
			{
				Name: "show", Usage: "show the peer ID and the public key",
				Flags: append(keyFlags(), jsonFlag()), Action: p.keyShow,
			},
			{
				Name: "import", Usage: "take a key from a file of libp2p, kubo or openssl", ArgsUsage: "FILE|-",
				Description: "FILE is libp2p's own, kubo's PrivKey or whole config, or PEM as openssl writes it.",
				Flags:       append(keyFlags(), jsonFlag()), Action: p.keyImport,
			},
			{
				Name: "export", Usage: "print the private key for another program",
				Flags: append(keyFlags(),
					&cli.BoolFlag{Name: "private", Usage: "yes, print the secret"},
					&cli.StringFlag{Name: "format", DefaultText: "kubo", Usage: "print as `FORMAT`: kubo (base64, its Identity.PrivKey) or pem (PKCS#8)"}),
				Action: p.keyExport,
			},
		},
		Action: unknownCommand,
	}
}

// keyFlags are run's flags that say which data directory.
func keyFlags() []cli.Flag {
	return slices.DeleteFunc(settingFlags(), func(f cli.Flag) bool {
		return !slices.Contains([]string{"data-dir", "p2p-port", "shift", "config"}, f.Names()[0])
	})
}

// keyPath is where the key of the node is that a command's flags mean.
func (p *program) keyPath(cmd *cli.Command) (string, error) {
	s, _, err := p.settingsOf(cmd)
	return filepath.Join(s.DataDir, keys.FileName), err
}

func (p *program) keyNew(_ context.Context, cmd *cli.Command) error {
	if err := noArgs(cmd); err != nil {
		return err
	}
	key, err := keys.Generate()
	if err != nil {
		return err
	}
	return p.keyCreate(cmd, key)
}

func (p *program) keyImport(_ context.Context, cmd *cli.Command) error {
	var data []byte
	err := p.withInput(cmd, func(in io.Reader) (err error) {
		data, err = keys.Read(in)
		return err
	})
	if err != nil {
		return err
	}
	key, err := keys.Parse(data)
	if err != nil {
		return err
	}
	return p.keyCreate(cmd, key)
}

// keyCreate stores a key that is new here, and prints its peer ID.
func (p *program) keyCreate(cmd *cli.Command, key crypto.PrivKey) error {
	path, err := p.keyPath(cmd)
	if err != nil {
		return err
	}
	if err := keys.Create(path, key); err != nil {
		return err
	}
	if cmd.Bool("json") {
		d, err := describeKey(key)
		if err != nil {
			return err
		}
		return p.printJSON(d)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return fmt.Errorf("deriving the peer ID: %w", err)
	}
	fmt.Fprintln(p.stdout, id)
	return nil
}

func (p *program) keyShow(_ context.Context, cmd *cli.Command) error {
	if err := noArgs(cmd); err != nil {
		return err
	}
	path, err := p.keyPath(cmd)
	if err != nil {
		return err
	}
	d, err := describeFile(path)
	if err != nil {
		return err
	}
	return p.showDescription(d, cmd.Bool("json"))
}

func (p *program) keyExport(_ context.Context, cmd *cli.Command) error {
	if err := noArgs(cmd); err != nil {
		return err
	}
	if !cmd.Bool("private") {
		return usage("if you mean it: p2ping key export --private", "export prints the private key, and who has that can speak as this node")
	}
	path, err := p.keyPath(cmd)
	if err != nil {
		return err
	}
	key, err := keys.Load(path)
	if err != nil {
		return err
	}
	switch format := cmd.String("format"); format {
	case "", "kubo":
		encoded, err := keys.FormatKubo(key)
		if err != nil {
			return err
		}
		fmt.Fprintln(p.stdout, encoded)
	case "pem":
		encoded, err := keys.FormatPEM(key)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s", encoded)
	default:
		return usage("p2ping key export --private --format pem", "--format: %q: one of kubo, pem is wanted", format)
	}
	return nil
}

// describeKey describes a key by its public half.
func describeKey(key crypto.PrivKey) (keys.Description, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return keys.Description{}, fmt.Errorf("deriving the peer ID: %w", err)
	}
	return keys.DescribeID(id)
}
