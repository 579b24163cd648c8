package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

// bashCompletion stands in for the library's script for bash, which needs the
// bash-completion package and evaluates what was typed.
const bashCompletion = `# Completion of p2ping for bash: source <(p2ping completion bash)
_p2ping() {
  local words=("${COMP_WORDS[@]:0:COMP_CWORD}") current="${COMP_WORDS[COMP_CWORD]}"
  [[ $current == -* ]] && words+=("$current")
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-shell-completion 2>/dev/null | cut -d: -f1)" -- "$current"))
}
complete -o default -F _p2ping p2ping
`

// completionCommand makes the library's command for completion scripts ours.
func (p *program) completionCommand(c *cli.Command) {
	c.Hidden = false
	c.Usage = "print a completion script for a shell"
	c.Action = unknownCommand
	if bash := c.Command("bash"); bash != nil {
		bash.Action = func(context.Context, *cli.Command) error {
			fmt.Fprint(p.stdout, bashCompletion)
			return nil
		}
	}
}
