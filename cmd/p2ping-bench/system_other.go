//go:build !unix

package main

import (
	"syscall"
	"time"
)

// Such signals can't be sent here: profiling says so and fails.
const (
	beginProfile = syscall.SIGINT
	endProfile   = syscall.SIGINT
)

// cpuOfSelf is not known here.
func cpuOfSelf() time.Duration { return 0 }
