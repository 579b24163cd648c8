package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
	"p2ping/node/entry"
)

// verified is what an export turned out to hold.
type verified struct {
	Entries int `json:"entries"`
	Pings   int `json:"pings"`
	Authors int `json:"authors"`
	// Digest is what a ledger with exactly these entries has: the SHA-256 of
	// their ids in order, one a line. "" if the file is not in order.
	Digest  string             `json:"digest,omitempty"`
	Refused int                `json:"refused"`
	Errors  []client.LineError `json:"errors"`
}

func (p *program) verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "check the signatures of an export, without a node",
		ArgsUsage: "FILE|-",
		Flags:     []cli.Flag{jsonFlag()},
		Action: func(_ context.Context, cmd *cli.Command) error {
			var result verified
			err := p.withInput(cmd, func(in io.Reader) (err error) {
				result, err = verify(in)
				return err
			})
			if err != nil {
				return err
			}
			if cmd.Bool("json") {
				err = p.printJSON(result)
			} else {
				err = p.showVerified(result)
			}
			if err == nil && result.Refused > 0 {
				err = refusedLines(result.Refused, result.Errors)
			}
			return err
		},
	}
}

func (p *program) showVerified(v verified) error {
	t := p.fields()
	t.row("entries", strconv.Itoa(v.Entries))
	t.row("pings", strconv.Itoa(v.Pings))
	t.row("authors", strconv.Itoa(v.Authors))
	if v.Digest != "" {
		t.row("digest", v.Digest)
	}
	t.row("refused", strconv.Itoa(v.Refused))
	return t.flush()
}

// verify checks every line of an export.
func verify(in io.Reader) (verified, error) {
	v := verified{Errors: []client.LineError{}}
	authors := make(map[string]bool)
	digest, last, ordered := sha256.New(), entry.Key{}, true
	for line, err := range exportLines(in) {
		if err != nil {
			return v, err
		}
		if line.err != nil {
			v.Refused++
			v.Errors = addLineError(v.Errors, line)
			continue
		}
		e := line.entry
		v.Entries++
		v.Pings += len(e.Pings)
		authors[string(e.Author)] = true
		ordered = ordered && last.Compare(e.Key()) < 0
		last = e.Key()
		fmt.Fprintln(digest, e.ID)
	}
	v.Authors = len(authors)
	if ordered {
		v.Digest = hex.EncodeToString(digest.Sum(nil))
	}
	return v, nil
}
