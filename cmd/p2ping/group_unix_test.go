//go:build unix

package main

import "syscall"

// killGroup kills the process group whose leader has the process ID.
func killGroup(leader int) error { return syscall.Kill(-leader, syscall.SIGKILL) }
