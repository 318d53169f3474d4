package main

import "io"

// result is where a command prints what it was called for: what could not be
// written makes the command fail, whoever wrote it.
type result struct {
	to     io.Writer
	failed error // the first time
}

func (r *result) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	if r.failed == nil {
		r.failed = err
	}
	return n, err
}
