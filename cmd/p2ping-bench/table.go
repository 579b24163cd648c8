package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// means says what the answers of the contenders promise: figures are not to be
// compared without it.
func means() []string {
	return []string{
		"p2ping answers 2xx when a ping is signed, handed to GossipSub and synced to disk; far nodes store it too.",
		"(a) answers at once and does nothing. (b) and (c) answer when Publish returns: signed, handed to GossipSub,",
		"nothing stored, nothing repaired. (d) signs and stores nothing. (e) is (b) at rest. Node.js: sent, not signed.",
		"Rates are pings that arrived at the far end, by the time from the first request to the last arrival.",
	}
}

// report is what -json writes.
type report struct {
	Machine machine              `json:"machine"`
	Runs    int                  `json:"runs"`
	Time    float64              `json:"load_seconds"`
	Conns   int                  `json:"connections"`
	Took    float64              `json:"took_seconds"`
	Means   []string             `json:"means"`
	Rows    []result             `json:"rows"`
	Series  map[string][]float64 `json:"series"`
	Errors  []string             `json:"errors"`
}

type machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
}

// result is one line of the table with its figures.
type result struct {
	Measure string   `json:"measure"`
	Title   string   `json:"title"`
	Unit    string   `json:"unit"`
	Series  string   `json:"series"`
	Value   *summary `json:"value"` // null without figures
	Against string   `json:"against,omitempty"`
	Base    *summary `json:"base,omitempty"`
	Ratio   *summary `json:"ratio,omitempty"`
	Goal    string   `json:"goal,omitempty"`
	Stretch bool     `json:"stretch,omitempty"`
	// Verdict is "met", "missed", "missing: why", or "" where there is no goal.
	Verdict string `json:"verdict"`
}

// report puts together what was measured.
func (b *bench) report(took time.Duration) report {
	r := report{
		Machine: machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()},
		Runs:    b.runs, Time: b.lasting.Seconds(), Conns: b.conns, Took: took.Seconds(),
		Means: means(), Series: b.samples, Errors: []string{},
	}
	for _, row := range append(rows(), sizedRows(b.sizes)...) {
		if b.wants(row.measure) && (row.base == "" || len(b.samples[row.base]) > 0 || b.missing[row.base] == "") {
			r.Rows = append(r.Rows, b.result(row))
		}
	}
	for _, err := range b.errs {
		r.Errors = append(r.Errors, err.Error())
	}
	return r
}

func (b *bench) result(row row) result {
	out := result{
		Measure: row.measure, Title: row.title, Unit: row.unit, Series: row.series,
		Goal: row.goal.String(), Stretch: row.stretch,
	}
	if row.base != "" {
		out.Against = row.against
	}
	values := b.samples[row.series]
	if len(values) == 0 {
		out.Verdict = "missing"
		if why := b.missing[row.series]; why != "" {
			out.Verdict += ": " + why
		}
		return out
	}
	value := summarise(values)
	out.Value = &value
	judged := value.Median
	if row.base != "" {
		base, ratio := summarise(b.samples[row.base]), summarise(ratios(values, b.samples[row.base]))
		out.Base, out.Ratio = &base, &ratio
		judged = ratio.Median
	}
	if row.goal.kind != "" {
		out.Verdict = "missed"
		if row.goal.met(judged) {
			out.Verdict = "met"
		}
	}
	return out
}

// print prints the table.
func (r report) print(w io.Writer) error {
	fmt.Fprintf(w, "%d CPUs, %s/%s, %s; %d runs, loads of %.3g s, %d connections; took %.0f s\n",
		r.Machine.CPUs, r.Machine.OS, r.Machine.Arch, r.Machine.Go, r.Runs, r.Time, r.Conns, r.Took)
	for _, line := range r.Means {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "median (min .. max)\tp2ping\tagainst\t\tratio\tgoal\t")
	measure := ""
	for _, row := range r.Rows {
		if measure != "" && row.Measure != measure {
			fmt.Fprintln(t, "\t\t\t\t\t\t")
		}
		measure = row.Measure
		fmt.Fprintln(t, strings.Join(row.cells(), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, e := range r.Errors {
		fmt.Fprintln(w, "failed:", e)
	}
	return nil
}

func (r result) cells() []string {
	goal := r.Goal
	if r.Stretch {
		goal += " (stretch)"
	}
	if r.Value == nil {
		return []string{r.Title, "-", r.Against, "", "", goal, r.Verdict}
	}
	base, ratio := "", ""
	if r.Base != nil {
		base, ratio = spread(*r.Base), spread(*r.Ratio)+" x"
	}
	unit := ""
	if r.Unit != "" {
		unit = " " + r.Unit
	}
	return []string{r.Title, spread(*r.Value) + unit, r.Against, base, ratio, goal, r.Verdict}
}

// spread shows a summary, briefly where all runs were one.
func spread(s summary) string {
	if s.Min == s.Max {
		return figure(s.Median)
	}
	return figure(s.Median) + " (" + figure(s.Min) + " .. " + figure(s.Max) + ")"
}

// figure shows three digits at least, and no decimals that mean nothing.
func figure(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 1000:
		return grouped(int64(math.Round(v)))
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// grouped writes n with a comma between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// write writes the report as JSON.
func (r report) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the figures: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}
