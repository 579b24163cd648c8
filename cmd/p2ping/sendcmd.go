package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
)

func (p *program) sendCommand() *cli.Command {
	return &cli.Command{
		Name:      "send",
		Usage:     "publish many pings, a line of JSON each",
		ArgsUsage: "FILE|-",
		Description: "A line is {\"text\":\"...\"}, or {\"text\":\"...\",\"key\":\"...\"}: under the same key a node publishes nothing twice\n" +
			"in 24 hours, so that a file can be sent again when it broke off. With --json, a line for each result.",
		Flags: nodeFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return p.withInput(cmd, func(in io.Reader) error {
				c, err := p.connect(ctx, cmd)
				if err != nil {
					return err
				}
				defer c.Close()
				return p.send(ctx, c, in, cmd.Bool("json"))
			})
		},
	}
}

// sending counts what became of the lines.
type sending struct {
	published, replayed, refused int
	begin                        time.Time
}

func (s sending) String() string {
	took := time.Since(s.begin)
	line := fmt.Sprintf("published %s in %v", counted(s.published, "ping", "pings"), took.Round(time.Millisecond))
	if s.replayed > 0 {
		line += fmt.Sprintf(", %d had been before", s.replayed)
	}
	if s.refused > 0 {
		line += fmt.Sprintf(", %d were refused", s.refused)
	}
	return line
}

// clearLine takes the progress back from the terminal.
const clearLine = "\r\x1b[K"

// explainSend is explain for lines of which some may have no result.
func explainSend(state sending, err error) error {
	const hint = "a line without a result may have been published or not: give lines keys, and send the file again"
	switch {
	case errors.Is(err, client.ErrUnreachable):
	case errors.Is(err, context.Canceled):
		return failed(hint, fmt.Errorf("interrupted: %v", state))
	case brokenOff(err):
		return failed(hint, fmt.Errorf("the node broke the connection off: %v", state))
	}
	return explain(fmt.Errorf("%v: %w", state, err))
}

// brokenOff tells whether a connection that stood went before all was said.
func brokenOff(err error) bool {
	return slices.ContainsFunc([]error{net.ErrClosed, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE},
		func(target error) bool { return errors.Is(err, target) })
}

// send publishes the lines of in.
func (p *program) send(ctx context.Context, c *client.Client, in io.Reader, asJSON bool) error {
	const often = 200 * time.Millisecond // of the progress
	var (
		state    = sending{begin: time.Now()}
		encoder  = json.NewEncoder(p.stdout)
		progress = isTerminal(p.stderr)
		last     time.Time
	)
	var at lineNumbers
	lines, failure := newPings(in, &at)
	for result, err := range c.Send(ctx, lines) {
		if err != nil {
			if progress {
				fmt.Fprint(p.stderr, clearLine)
			}
			return explainSend(state, err)
		}
		result.Line = at.next(result.Line)
		state.count(result)
		switch {
		case asJSON:
			if err := encoder.Encode(result); err != nil {
				return err
			}
		case result.Error != nil:
			fmt.Fprintf(p.stderr, "p2ping: line %d: %s\n", result.Line, oneLine(result.Error.Error()))
		case progress && time.Since(last) > often:
			last = time.Now()
			fmt.Fprintf(p.stderr, "\r%v", state)
		}
	}
	if progress {
		fmt.Fprint(p.stderr, clearLine)
	}
	if !asJSON {
		fmt.Fprintln(p.stdout, state)
	}
	if err := failure(); err != nil {
		return err
	}
	if state.refused > 0 {
		return silent(exitFailed)
	}
	return nil
}

func (s *sending) count(r client.SendResult) {
	switch {
	case r.Error != nil:
		s.refused++
	case r.Replayed:
		s.replayed++
	default:
		s.published++
	}
}

// lineNumbers are the input's numbers of the lines that were sent and have no
// result yet: results are counted without the blank ones.
type lineNumbers struct {
	mu   sync.Mutex
	sent []int
}

func (l *lineNumbers) add(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, number)
}

// next returns the number of the next line that has its result, which is counted
// without blank ones.
func (l *lineNumbers) next(counted int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent) == 0 {
		return counted // more results than lines: the node is confused
	}
	number := l.sent[0]
	l.sent = l.sent[1:]
	return number
}

// newPings reads pings from NDJSON, and notes their lines' numbers. After the
// last, failure tells what ended it, if not the input's end.
func newPings(in io.Reader, at *lineNumbers) (pings iter.Seq[client.NewPing], failure func() error) {
	failed := make(chan error, 1)
	pings = func(yield func(client.NewPing) bool) {
		defer close(failed)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(make([]byte, 0, 4096), client.MaxLine)
		number := 0
		for scanner.Scan() {
			number++
			if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
				continue
			}
			ping, err := parseNewPing(scanner.Bytes())
			if err != nil {
				failed <- usage("a line is {\"text\":\"...\"}", "line %d: %w", number, err)
				return
			}
			at.add(number)
			if !yield(ping) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			failed <- fmt.Errorf("reading line %d: %w", number+1, err)
		}
	}
	return pings, func() error { return <-failed }
}

func parseNewPing(line []byte) (client.NewPing, error) {
	var ping client.NewPing
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&ping); err != nil {
		return ping, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return ping, errors.New("there is more than one value")
	}
	return ping, checkText(ping.Text)
}
