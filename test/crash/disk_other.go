//go:build !linux

package main

import "errors"

// disk is a file system of its own; only Linux has them here.
type disk struct{ path string }

func mountSmall(string) (*disk, error) { return nil, errors.ErrUnsupported }

func (*disk) setReadOnly(bool) error { return errors.ErrUnsupported }

func (*disk) unmount() error { return nil }
