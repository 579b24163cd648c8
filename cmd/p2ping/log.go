package main

import (
	"io"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p/gologshim"
)

// newLogger makes the logger that the parts are handed. Its lines are talk.
func newLogger(w io.Writer, s settings) *slog.Logger {
	return slog.New(newHandler(w, s.LogFormat, s.LogLevel))
}

// tameLibraries sends what libraries log by themselves the same way, where it
// is worth it: libp2p's many loggers, and Go's own log package, to which quic-go
// writes. It must come before the first of their lines, and once in a process.
func tameLibraries(w io.Writer, s settings) {
	handler := newHandler(w, s.LogFormat, libraryLevel(s.LogLevel))
	gologshim.SetDefaultHandler(handler)
	slog.SetDefault(slog.New(handler)) // the log package's lines count as info
}

// libraryLevel is the level from which on lines of libraries are logged. They
// warn of each dial that fails and each peer that goes, again and again: what of
// that a user can act on, the node says itself, and once. Who looks for a
// fault gets more.
func libraryLevel(own slog.Level) slog.Level {
	if own < slog.LevelInfo {
		return slog.LevelInfo
	}
	return slog.LevelError
}

func newHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		opts.ReplaceAttr = durationsAsText
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// durationsAsText writes 741ms into JSON, where a bare number of nanoseconds would
// not say what it is.
func durationsAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// lockedWriter keeps lines whole that several goroutines write.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
