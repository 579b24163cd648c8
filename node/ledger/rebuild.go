package ledger

import (
	"errors"
	"fmt"
	"os"
	"time"

	"p2ping/node/entry"
)

func lastKey() entry.Key { return entry.LastKey() }

// Rebuild moves the file at path aside, under a new name beside it that it
// returns, and makes a new one of what can still be read.
func Rebuild(path string) (aside string, err error) {
	aside = path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000Z")
	if _, err := os.Lstat(aside); !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("rebuilding ledger %q: %q exists", path, aside)
	}
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("rebuilding ledger %q: %w", path, err)
	}
	return aside, nil
}
