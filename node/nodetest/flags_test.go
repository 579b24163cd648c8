package nodetest

import (
	"flag"
	"os"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay one schedule: the one with this `seed`")
	seedsFlag = flag.Int("seeds", fewSeeds(), "play `N` schedules")
	firstFlag = flag.Uint64("first", 1, "the first schedule's `seed`")
	manyFlag  = flag.Int("many", 40, "have `N` nodes in a network of many")
	restFlag  = flag.Int("rest", 0, "measure what `N` nodes send while nothing happens")
	logFlag   = flag.Bool("nodelog", false, "print every node's log, with virtual times")
)

// fewSeeds keeps a plain go test quick. CI plays 200.
func fewSeeds() int {
	if raceEnabled {
		return 5
	}
	return 12
}

// seeds returns the seeds to play.
func seeds() []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	all := make([]uint64, *seedsFlag)
	for i := range all {
		all[i] = *firstFlag + uint64(i)
	}
	return all
}

// options returns the real thing, and its log where it was asked for.
func options() Options {
	if *logFlag {
		return Options{Log: os.Stderr}
	}
	return Options{}
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
