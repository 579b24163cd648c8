package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"
)

const (
	// commandTimeout bounds one run of a command.
	commandTimeout = 30 * time.Second
	// pipePatience is how long a command's descendants may hold its output open
	// when it has ended.
	pipePatience = time.Second
	// maxOutput bounds what is logged of a run's output, in bytes.
	maxOutput = 4096
)

// command runs a line of shell for each ping. Nothing of the ping is in the
// line: it comes on the standard input alone.
type command struct {
	shell   string // its path
	line    string
	timeout time.Duration
	logger  *slog.Logger
}

func (c *command) deliver(ctx context.Context, ping []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("it took longer than %v", c.timeout))
	defer cancel()
	out := &head{limit: maxOutput}
	cmd := exec.CommandContext(ctx, c.shell, "-c", c.line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(ping), out, out
	cmd.WaitDelay = pipePatience
	ownGroup(cmd)
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; what it left running has its own life
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	switch text := out.String(); {
	case text == "":
	case err != nil:
		err = fmt.Errorf("%w: %s", err, text)
	default:
		c.logger.Info("a hook printed something", "output", text)
	}
	return err
}

// head keeps the beginning of what is written to it. One goroutine at a time
// writes: exec sees to that where both outputs are the same writer.
type head struct {
	limit int
	kept  []byte
	more  bool
}

func (h *head) Write(b []byte) (int, error) {
	n := min(len(b), h.limit-len(h.kept))
	h.kept = append(h.kept, b[:n]...)
	h.more = h.more || n < len(b)
	return len(b), nil
}

func (h *head) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(h.kept), "\uFFFD"))
	if h.more {
		text += " [...]"
	}
	return text
}
