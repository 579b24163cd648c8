package ledger

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes a file's data durable, and of what describes it only what it
// takes to read that: for a file of constant size, nothing.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
