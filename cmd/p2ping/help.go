package main

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
)

const (
	helpWidth  = 80 // columns, of a terminal as narrow as they come
	helpColumn = 26 // where what an option does begins
)

// addHelp gives its help to a command that has no commands of its own.
func addHelp(cmd *cli.Command) error {
	if len(cmd.Commands) == 0 {
		cmd.CustomHelpTemplate = helpTemplate(cmd)
		cmd.CommandNotFound = helpAnyway
	}
	return nil
}

// helpTemplate is the help of a command that has no commands of its own, as the
// library wants it. The library's own template writes a line for each option,
// whatever the terminal's width.
func helpTemplate(cmd *cli.Command) string {
	var b strings.Builder
	b.WriteString("NAME:\n   {{.FullName}} - " + cmd.Usage + "\n\nUSAGE:\n   {{.FullName}} [options]")
	if cmd.ArgsUsage != "" {
		b.WriteString(" " + cmd.ArgsUsage)
	}
	if cmd.Description != "" {
		words := strings.Join(strings.Fields(cmd.Description), " ")
		b.WriteString("\n\nDESCRIPTION:\n   " + wrap(words, 3))
	}
	b.WriteString("\n\nOPTIONS:\n")
	for _, f := range cmd.Flags {
		if f, ok := f.(documentedFlag); ok {
			b.WriteString(optionHelp(f))
		}
	}
	b.WriteString(option("--help, -h", "show help"))
	return b.String()
}

// helpAnyway shows a command's help where the library looked for that of a
// command by the name of its argument, as in `p2ping ping hello --help`.
func helpAnyway(ctx context.Context, cmd *cli.Command, _ string) {
	_ = cli.ShowCommandHelp(ctx, cmd.Lineage()[1], cmd.Name) // its parent has it
}

type documentedFlag interface {
	cli.Flag
	cli.DocGenerationFlag
}

// optionHelp is what help says of one option. Its placeholder stands between
// backquotes in its usage.
func optionHelp(f documentedFlag) string {
	name, does := dashed(f.Names()[0]), f.GetUsage()
	if before, rest, ok := strings.Cut(does, "`"); ok {
		placeholder, after, _ := strings.Cut(rest, "`")
		name += " " + placeholder
		does = before + placeholder + after
	}
	if value := f.GetDefaultText(); value != "" && f.IsDefaultVisible() && f.TakesValue() {
		does += fmt.Sprintf(" (default: %s)", value)
	}
	return option(name, does)
}

// option lays out an option and what it does, beside it where there is room.
func option(name, does string) string {
	line := "   " + name
	if utf8.RuneCountInString(line) > helpColumn-2 {
		return line + "\n" + strings.Repeat(" ", helpColumn) + wrap(does, helpColumn) + "\n"
	}
	return fmt.Sprintf("%-*s%s\n", helpColumn, line, wrap(does, helpColumn))
}

// wrap breaks words into lines that end before helpWidth. All but the first
// are indented.
func wrap(words string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(words) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
