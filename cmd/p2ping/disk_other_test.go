//go:build !linux

package main

import "errors"

func mountSmallDisk(string) (unmount func(), err error) {
	return nil, errors.New("only Linux has tmpfs")
}
