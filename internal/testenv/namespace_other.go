//go:build !linux

package testenv

import (
	"errors"
	"os/exec"
)

type namespace struct{}

func newNamespace() (*namespace, error) { return nil, errors.ErrUnsupported }

func (*namespace) start(*exec.Cmd) error { return errors.ErrUnsupported }

func (*namespace) end() error { return nil }
