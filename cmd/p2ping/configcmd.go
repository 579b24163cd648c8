package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v3"
)

func (p *program) configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print every setting of a node and where it comes from",
		Description: "Takes the same flags as `p2ping run`, and reads the same variables and file.\n" +
			"A flag goes before P2PING_ variables, these before the tutorial's HTTP_PORT, P2P_PORT and PEERS,\n" +
			"these before the config file, and that before the default.",
		Flags: append(settingFlags(), jsonFlag()),
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			s, all, err := p.settingsOf(cmd)
			if err != nil {
				return err
			}
			return p.showConfig(s, all, cmd.Bool("json"))
		},
	}
}

// shownSetting is a setting as `p2ping config --json` prints it.
type shownSetting struct {
	Name     string   `json:"name"`
	Values   []string `json:"values"`
	Source   string   `json:"source"`
	Variable string   `json:"variable"`
}

func (p *program) showConfig(s settings, all []given, asJSON bool) error {
	shown := make([]shownSetting, 0, len(all))
	for _, g := range all {
		values := g.values
		if len(values) == 0 && g.derived != nil {
			values = g.derived(s)
		}
		shown = append(shown, shownSetting{Name: g.name, Values: append([]string{}, values...), Source: g.source, Variable: g.variable()})
	}
	if asJSON {
		return p.printJSON(shown)
	}
	t := p.table("SETTING", "VALUE", "FROM")
	for _, row := range shown {
		t.row(row.Name, strings.Join(row.Values, ","), row.Source)
	}
	return t.flush()
}
