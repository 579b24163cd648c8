// Command p2ping runs a node that shares signed pings with its peers, and
// talks to one that runs already.
//
// This package is wiring and words: it reads the settings, opens the parts in
// order, prints, and turns errors into what a person can act on. Packages of
// this module meet here and nowhere else.
//
// stdout is data: pings, tables, JSON. stderr is talk: the banner, the log,
// errors. The exit code is 0 for done, 1 for failed, 2 for a wrong command
// line or setting, 3 when no node was reached.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	context.AfterFunc(ctx, stop) // a second signal finds no handler, and kills
	os.Exit(run(ctx, os.Args, os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// endings are the signals that end the program cleanly. Closing its terminal is
// one of them, unless nohup had it ignored.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// run is the whole program but for the process around it. It returns the exit
// code. args includes the program's name, and env looks a variable up.
func run(ctx context.Context, args []string, env environ, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	args = withDefaultVerb(args)
	root := p.root()
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		_ = root.Walk(addHelp) // which never fails
	}
	err := root.Run(ctx, args)
	if _, ok := errors.AsType[cli.ExitCoder](err); ok { // the library's: help about a command that there is not
		err = noHelp(root, args)
	}
	return p.report(err)
}

// environ looks up a variable of the environment, as os.LookupEnv does.
type environ func(name string) (string, bool)

// get returns a variable's value, "" where it is not set.
func (e environ) get(name string) string {
	value, _ := e(name)
	return value
}

// program is what commands may touch of the world outside.
type program struct {
	env            environ
	stdin          io.Reader
	stdout, stderr io.Writer
}
