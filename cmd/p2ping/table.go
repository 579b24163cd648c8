package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"
)

// table prints aligned columns for people. Every cell is escaped: peers choose
// what is in some.
type table struct{ w *tabwriter.Writer }

// table begins a table with its header.
func (p *program) table(header ...string) table {
	t := table{w: tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)}
	t.row(header...)
	return t
}

// fields begins a table of names and values, without a header.
func (p *program) fields() table {
	return table{w: tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)}
}

func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = escape(cell)
		if cells[i] == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() error { return t.w.Flush() }

// printJSON prints one indented document for programs.
func (p *program) printJSON(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON for programs instead of a table"}
}
