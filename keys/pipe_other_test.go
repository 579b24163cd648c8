//go:build !unix

package keys

import "errors"

// makePipe can't make a pipe among files here.
func makePipe(string) error { return errors.ErrUnsupported }
