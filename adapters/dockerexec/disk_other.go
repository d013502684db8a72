//go:build !linux && !darwin

package dockerexec

import "errors"

// freeBytes cannot tell.
func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
