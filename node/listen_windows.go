package node

import "syscall"

// ErrPortInUse is WSAEADDRINUSE: what the system says of a port that another
// program has. syscall.EADDRINUSE is a number that Windows does not know.
const ErrPortInUse = syscall.Errno(10048)
