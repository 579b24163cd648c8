package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
)

// maxText bounds a ping's text in bytes, the protocol's bound
// (node/entry.MaxText).
const maxText = 4096

func (p *program) pingCommand() *cli.Command {
	return &cli.Command{
		Name:      "ping",
		Usage:     "publish a ping",
		ArgsUsage: "[TEXT]",
		Description: "TEXT is 1 to 4,096 bytes of UTF-8, \"I'm alive\" if there is none. With - it is read from the\n" +
			"standard input, whose last newline is dropped. It is on the node's disk when this returns.",
		Flags: append(nodeFlags(),
			&cli.IntFlag{Name: "wait", HideDefault: true, Usage: "wait until `N` other nodes have stored it, and name them"},
			&cli.DurationFlag{Name: "timeout", HideDefault: true, Usage: "wait no longer than `DURATION` for them, up to 20s (default: 3s)"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := notNegative(cmd, "wait", "timeout"); err != nil {
				return err
			}
			text, err := p.pingText(cmd.Args())
			if err != nil {
				return err
			}
			c, err := p.connect(ctx, cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			wait := cmd.Int("wait")
			published, err := c.Publish(ctx, client.Request{Text: text, Receipts: wait, Timeout: cmd.Duration("timeout")})
			if errors.Is(err, context.Canceled) && !errors.Is(err, client.ErrUnreachable) {
				return failed("`p2ping history` shows whether it was", errors.New("interrupted: the ping may have been published"))
			}
			if err != nil {
				return explainValues(err)
			}
			if cmd.Bool("json") {
				err = p.printJSON(published)
			} else {
				err = p.showPublished(published)
			}
			if got := len(published.Receipts); err == nil && got < wait {
				err = failed("it is published, and the others will have it once they are connected",
					fmt.Errorf("%d of %d nodes have confirmed it in time", got, wait))
			}
			return err
		},
	}
}

func (p *program) showPublished(published client.Published) error {
	t := p.fields()
	t.row("text", published.Text)
	t.row("sent", published.SentAt.Local().Format(timeLayout))
	t.row("author", published.Author)
	t.row("peers", strconv.Itoa(published.TopicPeers))
	t.row("id", published.ID)
	for _, r := range published.Receipts {
		t.row("stored by", r.PeerID+" after "+delay(time.Duration(r.Latency*float64(time.Millisecond))))
	}
	return t.flush()
}

// pingText reads and checks the text to publish, "" for the node's default.
func (p *program) pingText(args cli.Args) (string, error) {
	if args.Len() == 0 {
		return "", nil
	}
	if args.Len() > 1 {
		return "", usage("put quotes around the text", "ping takes one text, but was given %d", args.Len())
	}
	text := args.First()
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(p.stdin, maxText+2))
		if err != nil {
			return "", fmt.Errorf("reading the text: %w", err)
		}
		text = trimNewline(string(b))
	}
	return text, checkText(text)
}

// trimNewline drops the newline that echo and here-documents end with.
func trimNewline(s string) string {
	if n := len(s); n > 0 && s[n-1] == '\n' {
		return s[:n-1]
	}
	return s
}

// checkText says what no node would take, before one is asked: JSON can't even
// carry what is not UTF-8.
func checkText(text string) error {
	switch {
	case text == "":
		return usage("leave it out to send \"I'm alive\"", "the text is empty")
	case len(text) > maxText:
		return usage(fmt.Sprintf("a ping holds up to %d bytes", maxText), "the text is longer than %d bytes", maxText)
	case !utf8.ValidString(text):
		return usage("encode other bytes, with base64 for example", "the text is not valid UTF-8")
	}
	return nil
}
