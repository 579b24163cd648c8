package ledger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// revived opens a copy of a ledger's files as they are now, as after the end of
// its process.
func revived(tb testing.TB, l *Ledger) *Ledger {
	tb.Helper()
	return open(tb, Config{Path: copied(tb, l.path), NoSync: true})
}

// copied copies a ledger's files as they are now, and returns the copy's path.
// Nothing must be written meanwhile.
func copied(tb testing.TB, path string) string {
	tb.Helper()
	to := filepath.Join(tb.TempDir(), "ledger.db")
	for _, suffix := range []string{"", journalSuffix} {
		b, err := os.ReadFile(path + suffix)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = writeSparse(to+suffix, b)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return to
}

// writeSparse writes a file whose end is a hole where b ends with zeros.
func writeSparse(path string, b []byte) error {
	err := os.WriteFile(path, bytes.TrimRight(b, "\x00"), 0o600)
	return errors.Join(err, os.Truncate(path, int64(len(b))))
}
