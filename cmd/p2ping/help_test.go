package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
)

// TestHelpFits asks every command for help, and wants it to fit a terminal of
// 80 columns and to name every option.
func TestHelpFits(t *testing.T) {
	var verbs [][]string
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			verb := append(slices.Clip(path), c.Name)
			verbs = append(verbs, verb)
			walk(verb, c.Commands)
		}
	}
	verbs = append(verbs, nil) // p2ping --help
	walk(nil, (&program{}).root().Commands)
	if len(verbs) < 20 {
		t.Fatalf("only %d commands", len(verbs))
	}
	for _, verb := range verbs {
		t.Run(strings.Join(verb, " "), func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append(append([]string{"p2ping"}, verb...), "--help")
			if code := run(t.Context(), args, func(string) (string, bool) { return "", false }, nil, &out, &errs); code != 0 || errs.Len() > 0 {
				t.Fatalf("exit code %d: %s", code, errs.String())
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if !strings.Contains(out.String(), strings.Join(append([]string{"p2ping"}, verb...), " ")+" ") || !strings.Contains(out.String(), "--help") {
				t.Error(out.String())
			}
		})
	}
	var out bytes.Buffer
	run(t.Context(), []string{"p2ping", "run", "--help"}, func(string) (string, bool) { return "", false }, nil, &out, &out)
	for _, s := range settingsTable() {
		if !strings.Contains(out.String(), "   --"+s.name) || !strings.Contains(out.String(), s.variable()) {
			t.Errorf("help has no --%s, or not its variable", s.name)
		}
	}
}

func TestOptionHelp(t *testing.T) {
	for _, c := range []struct {
		flag documentedFlag
		want string
	}{
		{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, "   --json                 print JSON\n"},
		{&cli.IntFlag{Name: "recent", Value: 10, DefaultText: "10", Usage: "begin with the last `N` pings"}, "   --recent N             begin with the last N pings (default: 10)\n"},
		{&cli.IntFlag{Name: "count", HideDefault: true, Usage: "end after `N`"}, "   --count N              end after N\n"},
		{
			&cli.StringSliceFlag{Name: "bootstrap", Usage: "a peer to join through, `MULTIADDR` with or without /p2p/ID"},
			"   --bootstrap MULTIADDR  a peer to join through, MULTIADDR with or without\n                          /p2p/ID\n",
		},
		{&cli.StringFlag{Name: "a-long-name", Usage: "`SOMETHING`"}, "   --a-long-name SOMETHING\n                          SOMETHING\n"},
	} {
		if got := optionHelp(c.flag); got != c.want {
			t.Errorf("%q\nwant %q", got, c.want)
		}
	}
}
