package main

import "syscall"

// mountSmallDisk mounts a tmpfs of 48 MiB at a directory.
func mountSmallDisk(dir string) (unmount func(), err error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m,mode=0700"); err != nil {
		return nil, err
	}
	// The nodes on it may still be ending.
	return func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}
