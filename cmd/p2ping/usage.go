package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// What the flag parser finds wrong it tells by these texts alone.
var (
	unknownFlag = regexp.MustCompile(`^flag provided but not defined: -+(.*)$`)
	bareFlag    = regexp.MustCompile(`^flag needs an argument: -*(.*)$`)
	wrongValue  = regexp.MustCompile(`^invalid value ("(?:[^"\\]|\\.)*") for flag -(\S+): `)
)

// usageError words what the flag parser found wrong.
func usageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	hint := "`" + cmd.FullName() + " --help` lists the options"
	if m := unknownFlag.FindStringSubmatch(err.Error()); m != nil {
		return usage(meant(hint, dashed(m[1]), flagNames(cmd)), "unknown option %s", dashed(m[1]))
	}
	if m := bareFlag.FindStringSubmatch(err.Error()); m != nil {
		return usage(hint, "%s: a value is missing", dashed(m[1]))
	}
	if m := wrongValue.FindStringSubmatch(err.Error()); m != nil {
		return usage(hint, "%s: %s: %s is wanted", dashed(m[2]), m[1], wanted(cmd, m[2]))
	}
	return usage(hint, "%w", err)
}

// wanted says what values a flag takes.
func wanted(cmd *cli.Command, name string) string {
	for _, f := range cmd.Flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.IntFlag:
			return "a whole number"
		case *cli.DurationFlag:
			return "a duration, such as 10s,"
		case *cli.BoolFlag:
			return "true or false"
		}
	}
	return "another one"
}

// notNegative refuses values below 0 of flags that have numbers or durations.
func notNegative(cmd *cli.Command, names ...string) error {
	for _, name := range names {
		if cmd.Int(name) < 0 || cmd.Duration(name) < 0 {
			return usage("`"+cmd.FullName()+" --help` lists the options", "%s: it can't be negative", dashed(name))
		}
	}
	return nil
}

// unknownCommand is the action of a command that is a group of others and does
// nothing by itself: what it is given, if anything, is none of them.
func unknownCommand(_ context.Context, cmd *cli.Command) error {
	if given := cmd.Args().First(); given != "" {
		return noCommand(cmd, given)
	}
	return usage(commandsHint(cmd), "%s needs a command: %s", cmd.FullName(), strings.Join(commandNames(cmd), ", "))
}

// noHelp words that help was asked for about a command that there is not. The
// library does that itself, of arguments that it does not hand out.
func noHelp(root *cli.Command, args []string) error {
	cmd, given := root, ""
	for _, given = range args[1:] {
		if strings.HasPrefix(given, "-") {
			continue
		}
		next := cmd.Command(given)
		if next == nil {
			break
		}
		cmd = next
	}
	return noCommand(cmd, given)
}

func noCommand(cmd *cli.Command, given string) error {
	return usage(meant(commandsHint(cmd), given, commandNames(cmd)), "unknown command %q", given)
}

func commandsHint(cmd *cli.Command) string {
	return "`" + cmd.FullName() + " --help` lists the commands"
}

// commandNames are the commands of a group, but for hidden ones.
func commandNames(cmd *cli.Command) []string {
	var names []string
	for _, c := range cmd.Commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

// dashed writes a flag's name as people type it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// flagNames are a command's flags, as people type them.
func flagNames(cmd *cli.Command) []string {
	var names []string
	for _, f := range cmd.Flags {
		names = append(names, dashed(f.Names()[0]))
	}
	return names
}

// meant puts before a hint what was probably meant by a typing error.
func meant(hint, typed string, names []string) string {
	if name := nearest(typed, names); name != "" {
		return fmt.Sprintf("did you mean %s? %s", name, hint)
	}
	return hint
}

// nearest returns the name that takes the fewest slips to type as typed was, ""
// when even that has slips in more than a third of its letters.
func nearest(typed string, names []string) string {
	if len(names) == 0 || len(typed) > 64 {
		return ""
	}
	name := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(slips(typed, a), slips(typed, b)) })
	if slips(typed, name) > max(1, len(strings.TrimLeft(name, "-"))/3) {
		return ""
	}
	return name
}

// slips counts the letters that are left out, added, wrong, or in each other's
// place: the distance of Damerau and Levenshtein, where no letter slips twice.
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = 1 + min(rows[i-1][j-1], rows[i-1][j], rows[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
