package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the baselines, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleArg {
		main()
	}
	os.Exit(m.Run())
}

// TestBenchmark runs everything once, with as little as will do.
func TestBenchmark(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts some sixty processes")
	}
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	file := filepath.Join(t.TempDir(), "figures.json")
	o := options{
		runs: 1, lasting: 2 * time.Second, conns: 4, limit: 50, publish: 2,
		sizes: []int{100, 200}, json: file, used: 200, restful: time.Millisecond,
	}
	var table, progress bytes.Buffer
	if err := benchmark(t.Context(), o, &table, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Log("\n" + table.String())

	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	checkRows(t, r, o)
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("it left %v in its scratch directory, %v", left, err)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("it left processes %q", left)
	}
}

// checkRows holds the figures to what must be so however slow the machine is.
func checkRows(t *testing.T, r report, o options) {
	t.Helper()
	for _, want := range append(rows(), sizedRows(o.sizes)...) {
		i := slices.IndexFunc(r.Rows, func(got result) bool { return got.Series == want.series && got.Against == want.against })
		optional := want.against == nodeName || want.against == kuboName
		switch {
		case optional:
		case want.base == "" && i < 0:
			i = slices.IndexFunc(r.Rows, func(got result) bool { return got.Series == want.series && got.Against == "" })
		}
		if (i < 0) != optional {
			t.Errorf("row %q against %q: found %v", want.series, want.against, i >= 0)
			continue
		}
		if i >= 0 && (r.Rows[i].Value == nil || want.base != "" && r.Rows[i].Ratio == nil) {
			t.Errorf("row %q against %q has no figures: %s", want.series, want.against, r.Rows[i].Verdict)
		}
		if i >= 0 && want.goal.kind != "" && r.Rows[i].Verdict != "met" && r.Rows[i].Verdict != "missed" {
			t.Errorf("row %q against %q is %q", want.series, want.against, r.Rows[i].Verdict)
		}
	}
	for _, series := range []string{"http/p2ping lost", "http/pubsub lost", "bulk/p2ping lost", "overload/p2ping silent", "overload/p2ping failed"} {
		if got := r.Series[series]; !slices.Equal(got, []float64{0}) {
			t.Errorf("%s: %v, want none", series, got)
		}
	}
	for _, series := range []string{"http/p2ping", "http/pubsub", "http/hello", "bulk/p2ping", "bulk/relay", "latency/p2ping p50", "wire/p2ping"} {
		if got := r.Series[series]; len(got) != 1 || got[0] <= 0 {
			t.Errorf("%s: %v, want a figure", series, got)
		}
	}
	if len(r.Errors) > 0 {
		t.Errorf("errors: %q", r.Errors)
	}
}

// children lists the processes that this one has started and that still run.
func children(t *testing.T) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		s := string(b)
		fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			found = append(found, s[:strings.LastIndexByte(s, ')')+1])
		}
	}
	return found
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		args string
		bad  bool
	}{
		{args: ""},
		{args: "-runs 5 -only http,bulk -sizes 10,5,10"},
		{args: "-runs 0", bad: true},
		{args: "-time 0s", bad: true},
		{args: "-only everything", bad: true},
		{args: "-sizes 10,x", bad: true},
		{args: "-sizes 0", bad: true},
		{args: "-profile d -p2ping p", bad: true},
		{args: "and more", bad: true},
	} {
		var said bytes.Buffer
		o, err := parseOptions(strings.Fields(c.args), &said)
		if (err != nil) != c.bad {
			t.Errorf("%q: %v", c.args, err)
		}
		if err == nil && !slices.IsSorted(o.sizes) {
			t.Errorf("%q: sizes %v are not in order", c.args, o.sizes)
		}
	}
}

func TestAnInterruptEndsTheBenchmark(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options{runs: 1, lasting: time.Hour, conns: 1, limit: 1, publish: 1, only: []string{"http"}, binary: "true"}
	var out bytes.Buffer
	if err := benchmark(ctx, o, &out, &out); err == nil {
		t.Fatal("no error")
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("it left processes %q", left)
	}
}

func TestParseCPU(t *testing.T) {
	const stat = "1234 (a (very) odd name) S 1 1234 1234 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 9 0 100 1 2"
	got, err := parseCPU([]byte(stat))
	if err != nil || got != 3*time.Second {
		t.Errorf("parseCPU = %v, %v, want 3s", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", strings.Replace(stat, "250", "x", 1)} {
		if _, err := parseCPU([]byte(bad)); err == nil {
			t.Errorf("parseCPU(%q) has no error", bad)
		}
	}
}

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "0"},
		{1, "1"},
		{1.0468, "1.047"},
		{12.34, "12.3"},
		{123.4, "123"},
		{1234.5, "1,235"},
		{1234567, "1,234,567"},
		{0.01234, "0.0123"},
		{-1000, "-1,000"},
	} {
		if got := figure(c.v); got != c.want {
			t.Errorf("figure(%v) = %q, want %q", c.v, got, c.want)
		}
	}
}

func TestFirstLine(t *testing.T) {
	lines := make(chan string, 1)
	f := &firstLine{line: lines}
	for _, s := range []string{"he", "llo\nmore", "\nand more\n"} {
		if n, err := f.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if got := <-lines; got != "hello" {
		t.Errorf("the first line is %q", got)
	}
}

func TestStamp(t *testing.T) {
	at := time.Unix(1_700_000_000, 123_456_789)
	got, ok := stampIn([]byte(stamped(at) + `","author"`))
	if !ok || !got.Equal(at) {
		t.Errorf("stampIn = %v, %v", got, ok)
	}
	for _, bad := range []string{"", "@123", "xxxxxxxxxxxxxxxxxxxxxxxx", "@xxxxxxxxxxxxxxxxxxx"} {
		if _, ok := stampIn([]byte(bad)); ok {
			t.Errorf("%q was taken for a stamp", bad)
		}
	}
}
