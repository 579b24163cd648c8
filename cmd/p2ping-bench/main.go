// Command p2ping-bench measures p2ping against what it could be.
//
//	go run ./cmd/p2ping-bench
//
// starts everything itself, on loopback and as processes of their own: p2ping,
// built from this module, and the baselines, which are this program in another
// role (baseline_*.go). Three nodes stand in a line; pings enter at the first
// and are counted at the last. What is measured is in measure_*.go, what it is
// held to in rows.go.
//
// Each run measures everything once, a figure and its baselines right after
// each other; of several runs the table shows the median, the least and the
// greatest. Ratios are what counts: they are taken run by run, so that a machine
// that is slow for a minute is slow for both. A goal is met or missed by the
// median, unrounded.
//
// The standard output gets the table, the standard error the progress. The exit
// code is 0 when everything could be measured, goals met or not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it. It returns the exit
// code: 0 done, 1 something could not be measured, 2 a wrong command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == roleArg {
		if err := runRole(ctx, args[1:], stdin, stdout, stderr); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "p2ping-bench: error:", err)
		return 2
	}
	if err := benchmark(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "p2ping-bench: error:", err)
		return 1
	}
	return 0
}

// options are the command line.
type options struct {
	runs     int
	lasting  time.Duration // of each load
	conns    int
	limit    int // pings of a load at most
	publish  int // goroutines of baseline (b)
	sizes    []int
	only     []string
	json     string // file for the figures
	binary   string // p2ping, "" to build it
	withNode bool   // measure the Node.js node
	kubo     string // its binary, "" for none
	profile  string // directory for profiles, "" for none

	used    int           // entries in the ledger of the node whose memory is read in use
	restful time.Duration // how long a process is left alone before its memory is read
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{used: usedEntries, restful: restful}
	var only string
	sizes := "10000,100000,1000000"
	flags := flag.NewFlagSet("p2ping-bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.runs, "runs", 3, "measure everything `N` times")
	flags.DurationVar(&o.lasting, "time", 2*time.Second, "keep up each load for `DURATION`")
	flags.IntVar(&o.conns, "conns", 64, "send by HTTP over `N` connections")
	flags.IntVar(&o.limit, "limit", 2_000_000, "send at most `N` pings in a load")
	flags.IntVar(&o.publish, "publishers", 2, "let baseline (b) publish from `N` goroutines")
	flags.StringVar(&sizes, "sizes", sizes, "measure ledgers of `N[,N]` entries")
	flags.StringVar(&only, "only", "", "measure only `NAME[,NAME]` of "+strings.Join(measureNames(), ", "))
	flags.StringVar(&o.json, "json", "", "write all figures to `FILE`")
	flags.StringVar(&o.binary, "p2ping", "", "measure the p2ping at `PATH` instead of building this module's")
	flags.BoolVar(&o.withNode, "with-node", false, "also measure the tutorial's Node.js node; installs express and ws from npm")
	flags.StringVar(&o.kubo, "with-kubo", "", "also measure kubo, whose binary is at `PATH`")
	flags.StringVar(&o.profile, "profile", "", "write CPU profiles under load (http, bulk; catchup if named by -only) to `DIR`, and measure nothing")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.runs < 1 || o.conns < 1 || o.limit < 1 || o.publish < 1 || o.lasting <= 0 {
		return o, errors.New("-runs, -time, -conns, -limit and -publishers must be positive")
	}
	var err error
	if o.sizes, err = parseSizes(sizes); err != nil {
		return o, err
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	if o.profile != "" && o.binary != "" {
		return o, errors.New("-profile builds a p2ping of its own: leave -p2ping out")
	}
	for _, name := range o.only {
		if !slices.Contains(measureNames(), name) {
			return o, fmt.Errorf("-only: there is no %q, but %s", name, strings.Join(measureNames(), ", "))
		}
	}
	return o, nil
}

// parseSizes reads ledger sizes, which are measured in rising order.
func parseSizes(list string) ([]int, error) {
	var sizes []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-sizes: %q is not a number of entries", s)
		}
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes), nil
}
