package main

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// root is the tree of commands.
func (p *program) root() *cli.Command {
	root := &cli.Command{
		Name:      "p2ping",
		Usage:     "signed pings that every node ends up with",
		UsageText: "p2ping [run's options]        run a node, as `p2ping run` does\np2ping COMMAND [options]      `p2ping COMMAND --help` explains",
		Version:   version(),
		Writer:    p.stdout, ErrWriter: p.stderr, Reader: p.stdin,
		HideHelpCommand:                 true, // `p2ping ping help` is a ping
		DisableSliceFlagSeparator:       true, // a multiaddr is taken as it is
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: p.completionCommand,
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // report prints, main exits
		Commands: []*cli.Command{
			p.runCommand(),
			p.demoCommand(),
			p.pingCommand(),
			p.watchCommand(),
			p.historyCommand(),
			p.sendCommand(),
			p.idCommand(),
			p.peersCommand(),
			p.mapCommand(),
			p.connectCommand(),
			p.healthCommand(),
			p.syncCommand(),
			p.ledgerCommand(),
			p.verifyCommand(),
			p.keyCommand(),
			p.configCommand(),
			p.versionCommand(),
		},
		Action: unknownCommand,
	}
	_ = root.Walk(func(cmd *cli.Command) error { // the function never fails
		cmd.OnUsageError = usageError
		return nil
	})
	return root
}

// withDefaultVerb makes plain `p2ping`, with flags or without, run a node, and
// `p2ping help VERB` what `p2ping VERB --help` is.
func withDefaultVerb(args []string) []string {
	if len(args) > 1 && args[1] == "help" {
		return append(slices.Delete(slices.Clone(args), 1, 2), "--help")
	}
	const completing = "--generate-shell-completion"
	own := []string{"--help", "-h", "--version", "-v", completing}
	if len(args) > 1 && (!strings.HasPrefix(args[1], "-") || slices.Contains(own, args[1])) {
		return args
	}
	if len(args) == 3 && args[1] == "-" && args[2] == completing {
		return args
	}
	return slices.Insert(slices.Clone(args), min(1, len(args)), "run")
}

// noArgs refuses arguments where a command takes none.
func noArgs(cmd *cli.Command) error {
	if !cmd.Args().Present() {
		return nil
	}
	return usage("`"+cmd.FullName()+" --help` lists the options", "%s takes no arguments, but was given %q", cmd.FullName(), cmd.Args().First())
}
