//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package ledger

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockFile locks an open file as bbolt does, or returns [ErrLocked] when
// another has held the lock for as long as patience.
func lockFile(f *os.File, patience time.Duration) error {
	const step = 10 * time.Millisecond
	for ; ; patience -= step {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("locking: %w", err)
		case patience <= 0:
			return ErrLocked
		}
		time.Sleep(step)
	}
}
