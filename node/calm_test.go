package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestCalmer(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(calmer{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})}).With("from", "a library")
	log.Info("a detail")
	log.Error("a trouble")
	got := out.String()
	if strings.Contains(got, "a detail") || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "a library") {
		t.Errorf("the log says %q: want the error as a warning, and no more", got)
	}
}
