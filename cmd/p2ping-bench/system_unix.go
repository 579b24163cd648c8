//go:build unix

package main

import (
	"syscall"
	"time"
)

// The signals at which a node that is profiled begins and ends its profile.
const (
	beginProfile = syscall.SIGUSR1
	endProfile   = syscall.SIGUSR2
)

// cpuOfSelf is the CPU time of this process, in which both sides are.
func cpuOfSelf() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
