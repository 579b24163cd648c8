package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "run a node (what plain `p2ping` does)",
		Flags: settingFlags(),
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := noArgs(cmd); err != nil {
				return err
			}
			_, _, err := p.settingsOf(cmd)
			if err != nil {
				return err
			}
			return errors.New("not wired yet")
		},
	}
}
