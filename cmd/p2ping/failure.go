package main

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes, part of the interface: scripts branch on them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitNoNode = 3
)

// failure is an error with what people and scripts need beside its text.
type failure struct {
	code int
	err  error
	hint string // what to do now, "" for nothing to add
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Hint says what to do about the error.
func (f *failure) Hint() string { return f.hint }

// usage is a failure of the command line or of a setting.
func usage(hint, format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...), hint: hint}
}

// failed adds a hint to an error that is nobody's wrong command line.
func failed(hint string, err error) error {
	return &failure{code: exitFailed, err: err, hint: hint}
}

// silent ends the program with a code when all has been said on stdout.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// report prints an error as a person should see it, and returns the code.
func (p *program) report(err error) int {
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[silent](err); ok {
		return int(code)
	}
	fmt.Fprintf(p.stderr, "p2ping: error: %s\n", oneLine(err.Error()))
	if hinter, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && hinter.Hint() != "" {
		fmt.Fprintf(p.stderr, "p2ping: hint: %s\n", oneLine(hinter.Hint()))
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return exitFailed
}

// oneLine keeps what may quote a stranger's bytes on one harmless line.
func oneLine(s string) string {
	return strings.ReplaceAll(escape(strings.TrimSpace(s)), `\\`, `\`)
}
