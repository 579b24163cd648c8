//go:build !linux

package ledger

// unmapPages does nothing where MADV_DONTNEED may mean something else.
func unmapPages(uintptr, int64) {}
