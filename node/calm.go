package node

import (
	"context"
	"log/slog"
)

// calmer makes a library's lines one level less urgent: what pubsub finds
// worth informing of is to an operator a detail.
type calmer struct{ slog.Handler }

const calmBy = slog.LevelInfo - slog.LevelDebug

func (c calmer) Enabled(ctx context.Context, level slog.Level) bool {
	return c.Handler.Enabled(ctx, level-calmBy)
}

func (c calmer) Handle(ctx context.Context, r slog.Record) error {
	r.Level -= calmBy
	return c.Handler.Handle(ctx, r)
}

func (c calmer) WithAttrs(attrs []slog.Attr) slog.Handler { return calmer{c.Handler.WithAttrs(attrs)} }

func (c calmer) WithGroup(name string) slog.Handler { return calmer{c.Handler.WithGroup(name)} }
