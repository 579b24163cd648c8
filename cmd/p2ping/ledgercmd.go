package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
	"p2ping/node/ledger"
)

// book is a ledger wherever it is: behind the API of a node that runs
// (*client.Client), or in a data directory whose node does not.
type book interface {
	// WriteIDs writes the ids in the ledger's order, one a line.
	WriteIDs(ctx context.Context, w io.Writer) error
	// WriteEntries writes the entries as NDJSON in the ledger's order.
	WriteEntries(ctx context.Context, w io.Writer) error
	// Import takes what verifies of such an export.
	Import(ctx context.Context, export io.Reader) (client.Imported, error)
	Close()
}

func (p *program) ledgerCommand() *cli.Command {
	return &cli.Command{
		Name:  "ledger",
		Usage: "read and write the pings that a node keeps",
		Description: "Through the API of the node that runs; if none does, in its data directory.\n" +
			"`p2ping ledger ids | sha256sum` prints the digest that `p2ping sync` shows.",
		Commands: []*cli.Command{
			{
				Name: "ids", Usage: "print the id of every entry, in order", Flags: bookFlags(),
				Action: p.withBook(func(ctx context.Context, b book, _ *cli.Command) error { return b.WriteIDs(ctx, p.stdout) }),
			},
			{
				Name: "export", Usage: "print every entry with its signature, as NDJSON", Flags: bookFlags(),
				Action: p.withBook(func(ctx context.Context, b book, _ *cli.Command) error { return b.WriteEntries(ctx, p.stdout) }),
			},
			{
				Name: "import", Usage: "take what verifies of an export", ArgsUsage: "FILE|-", Flags: append(bookFlags(), jsonFlag()),
				Action: p.importAction,
			},
			{
				Name: "rebuild", Usage: "make a new ledger of what a damaged one still has",
				Flags:  []cli.Flag{&cli.StringFlag{Name: "data-dir", Usage: "rebuild the ledger in `DIR` [$P2PING_DATA_DIR]"}},
				Action: p.rebuildAction,
			},
		},
		Action: unknownCommand,
	}
}

// bookFlags are the flags that say which ledger.
func bookFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api", Usage: "talk to the node at `URL` (default: the node that runs here) [$P2PING_API]"},
		&cli.StringFlag{Name: "data-dir", Usage: "use the ledger in `DIR`, through its node if that runs [$P2PING_DATA_DIR]"},
		&cli.StringFlag{Name: "token-file", Usage: "show the node the bearer token in `FILE` [$P2PING_TOKEN_FILE]"},
		&cli.StringFlag{Name: "tls-ca", Usage: "trust the certificates in the PEM `FILE` with HTTPS, and no others [$P2PING_TLS_CA]"},
	}
}

// withBook makes an action of what is done with a ledger, without arguments.
func (p *program) withBook(do func(context.Context, book, *cli.Command) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if err := noArgs(cmd); err != nil {
			return err
		}
		b, err := p.openBook(ctx, cmd)
		if err != nil {
			return err
		}
		defer b.Close()
		return explain(do(ctx, b, cmd))
	}
}

// openBook finds the ledger that the flags mean: a node's if one runs, else
// the one in the directory.
func (p *program) openBook(ctx context.Context, cmd *cli.Command) (book, error) {
	api, dir := cmd.String("api"), cmd.String("data-dir")
	if api == "" && dir == "" && p.env.get(envName("api")) == "" {
		dir = p.env.get(envName("data-dir"))
		if dir == "" {
			if state, err := stateDir(p.env); err == nil && len(running(ctx, state)) == 0 {
				dir = filepath.Join(state, "6001")
			}
		}
	}
	if api == "" && dir != "" {
		if url, err := readAPIFile(dir); err != nil || !alive(ctx, url) {
			return openResting(dir)
		}
	}
	return p.connect(ctx, cmd)
}

// openResting opens the ledger of a node that does not run.
func openResting(dir string) (book, error) {
	path := filepath.Join(dir, ledgerFile)
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &failure{code: exitNoNode, err: fmt.Errorf("no node answers, and there is no ledger in %s", dir), hint: "start a node with `p2ping run`, or say where: --api URL, --data-dir DIR"}
		}
		return nil, fmt.Errorf("looking for a ledger: %w", err)
	}
	l, err := ledger.Open(ledger.Config{Path: path})
	if err != nil {
		return nil, explainLedger(dir, err)
	}
	return &restingBook{ledger: l}, nil
}

// stateOf says what the ledger of a node that does not run holds.
func stateOf(dir string) (ledger.State, error) {
	l, err := ledger.Open(ledger.Config{Path: filepath.Join(dir, ledgerFile)})
	if err != nil {
		return ledger.State{}, explainLedger(dir, err)
	}
	return l.State(), l.Close()
}

// explainLedger says what to do about a ledger that can't be opened.
func explainLedger(dir string, err error) error {
	switch {
	case errors.Is(err, ledger.ErrLocked):
		return failed("stop it, or wait until its API is up", fmt.Errorf("the data directory %s is in use by another p2ping", dir))
	case errors.Is(err, ledger.ErrDamaged):
		return failed("p2ping ledger rebuild --data-dir "+quoted(dir), err)
	}
	return err
}

func (p *program) importAction(ctx context.Context, cmd *cli.Command) error {
	var result client.Imported
	err := p.withInput(cmd, func(in io.Reader) error {
		b, err := p.openBook(ctx, cmd)
		if err != nil {
			return err
		}
		defer b.Close()
		result, err = b.Import(ctx, in)
		return explain(err)
	})
	if err != nil {
		return err
	}
	if cmd.Bool("json") {
		err = p.printJSON(result)
	} else {
		t := p.fields()
		t.row("taken", strconv.Itoa(result.Taken))
		t.row("held already", strconv.Itoa(result.Held))
		t.row("refused", strconv.Itoa(result.Refused))
		err = t.flush()
	}
	if err == nil && result.Refused > 0 {
		err = refusedLines(result.Refused, result.Errors)
	}
	return err
}

// refusedLines is the error about lines that did not verify. It names the first.
func refusedLines(n int, errs []client.LineError) error {
	if len(errs) == 0 {
		return fmt.Errorf("%s did not verify", counted(n, "line", "lines"))
	}
	return fmt.Errorf("%s did not verify, the first being line %d: %s", counted(n, "line", "lines"), errs[0].Line, errs[0].Detail)
}

// withInput calls read with the file that the only argument names, or stdin
// for -.
func (p *program) withInput(cmd *cli.Command, read func(io.Reader) error) error {
	if cmd.Args().Len() != 1 {
		return usage("- reads the standard input", "%s takes one file, but was given %d arguments", cmd.FullName(), cmd.Args().Len())
	}
	if cmd.Args().First() == "-" {
		return read(p.stdin)
	}
	return withFile(cmd.Args().First(), read)
}

// withFile calls read with an open file, of which it sees no Close: an HTTP
// client would call that.
func withFile(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the file: %w", err)
	}
	return errors.Join(read(struct{ io.Reader }{f}), f.Close())
}

func (p *program) rebuildAction(_ context.Context, cmd *cli.Command) error {
	if err := noArgs(cmd); err != nil {
		return err
	}
	dir := cmd.String("data-dir")
	if dir == "" {
		dir = p.env.get(envName("data-dir"))
	}
	if dir == "" {
		return usage("such as --data-dir ~/.local/state/p2ping/6001", "rebuild needs to know which ledger: --data-dir DIR")
	}
	aside, err := ledger.Rebuild(filepath.Join(dir, ledgerFile))
	if err != nil {
		return explainLedger(dir, err)
	}
	state, err := stateOf(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "rebuilt with %d of its entries; the old ledger is kept as %s\n", state.Entries, aside)
	return nil
}
