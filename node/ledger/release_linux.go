package ledger

import "syscall"

// unmapPages tells the system that size bytes of a shared, read-only file
// mapping at addr are not needed for now. For those, MADV_DONTNEED loses
// nothing: the next access reads the file. Its only error would mean that
// nothing happened.
func unmapPages(addr uintptr, size int64) {
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, addr, uintptr(size), syscall.MADV_DONTNEED)
}
