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

// tameLibraries sends what libraries log by themselves the same way, one level
// calmer: libp2p's many loggers, and Go's own log package, to which quic-go
// writes. It must come before the first of their lines, and once in a process.
func tameLibraries(w io.Writer, s settings) {
	const oneLevel = slog.LevelWarn - slog.LevelInfo
	handler := newHandler(w, s.LogFormat, s.LogLevel+oneLevel)
	gologshim.SetDefaultHandler(handler)
	slog.SetDefault(slog.New(handler)) // the log package's lines count as info
}

func newHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
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
