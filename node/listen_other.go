//go:build !windows

package node

import "syscall"

// ErrPortInUse is what the system says of a port that another program has.
const ErrPortInUse = syscall.EADDRINUSE
