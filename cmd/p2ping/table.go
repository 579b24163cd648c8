package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"
)

// table prints aligned columns for people. Every cell is escaped: peers choose
// what is in some.
type table struct {
	w      io.Writer
	header []string // nil for names and values
	width  int      // of the terminal in columns, 0 for none
	rows   *[][]string
}

// table begins a table with its header. On a terminal that is much too narrow
// for it, by a quarter and more of the table, every row is a block of names and
// values instead.
func (p *program) table(header ...string) table {
	t := table{w: p.stdout, header: header, width: terminalWidth(p.stdout), rows: new([][]string)}
	t.row(header...)
	return t
}

// fields begins a table of names and values, without a header.
func (p *program) fields() table { return table{w: p.stdout, rows: new([][]string)} }

func (t table) row(cells ...string) {
	shown := make([]string, len(cells))
	for i, cell := range cells {
		if shown[i] = escape(cell); shown[i] == "" {
			shown[i] = "-"
		}
	}
	*t.rows = append(*t.rows, shown)
}

func (t table) flush() error {
	rows := *t.rows
	if t.header == nil || t.width == 0 || 3*columns(rows) <= 4*t.width {
		return align(t.w, rows)
	}
	var blocks [][]string
	for i, row := range rows[1:] {
		if i > 0 {
			blocks = append(blocks, []string{""})
		}
		for j, cell := range row {
			blocks = append(blocks, []string{rows[0][j], cell})
		}
	}
	return align(t.w, blocks)
}

// gap is the space between columns.
const gap = 2

// align writes rows, each a line.
func align(w io.Writer, rows [][]string) error {
	aligned := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(aligned, strings.Join(row, "\t"))
	}
	return aligned.Flush()
}

// columns is how wide rows are when they are aligned.
func columns(rows [][]string) int {
	var widest []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widest) {
				widest = append(widest, 0)
			}
			widest[i] = max(widest[i], utf8.RuneCountInString(cell))
		}
	}
	sum := gap * (len(widest) - 1)
	for _, n := range widest {
		sum += n
	}
	return sum
}

// terminalWidth is how many columns a terminal has, 0 where w is none or does
// not say.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

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
