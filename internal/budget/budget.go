// Package budget bounds the memory that is held for strangers: one number of bytes
// for the process, of which each kind of work has a share.
package budget

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/semaphore"
)

// Default is what a process may take when nothing else is said, in bytes.
const Default = 512 << 20

// Least is what a process needs to answer at all, in bytes.
const Least = 128 << 20

// ErrFull is matched by errors about a share of which nothing is left.
var ErrFull = errors.New("the memory for this kind of work is in use")

// Budget is what a process may hold for strangers, by what it is held for. The
// shares together are about half of the whole: the rest is the program, its
// own caches, and what the collector has not given back yet.
type Budget struct {
	Reading  *Share // manifests and indices that are on their way
	Decoding *Share // the same, while they are read as JSON
	Sending  *Share // contents from elsewhere, while clients take them
	Requests int64  // what requests cost beside their contents
	Messages *Fair  // of peers, on their way
}

// New divides total bytes, [Default] when 0.
func New(total int64) *Budget {
	if total == 0 {
		total = Default
	}
	of := func(of64 int64) int64 { return total / 64 * of64 }
	part := func(name string, of64 int64) *Share { return NewShare(name, of(of64)) }
	return &Budget{
		Reading: part("manifests being read", 3), Decoding: part("manifests being decoded", 7),
		Sending: part("contents from elsewhere", 14), Requests: of(6),
		Messages: NewFair("messages of peers", of(3)),
	}
}

// Enforce has the runtime give memory back before the process takes more than total
// bytes, [Default] when 0.
func Enforce(total int64) {
	if total == 0 {
		total = Default
	}
	debug.SetMemoryLimit(total / 8 * 6)
}

// Share is a part of a budget. It is safe for concurrent use.
type Share struct {
	name string
	size int64
	sem  *semaphore.Weighted
}

// NewShare makes a share of size bytes; name tells what it is for.
func NewShare(name string, size int64) *Share {
	return &Share{name: name, size: size, sem: semaphore.NewWeighted(size)}
}

// Size is how many bytes there are in all.
func (s *Share) Size() int64 { return s.size }

// Take waits until n bytes are free; what is larger than the share waits for all
// of it. The error matches [ErrFull] and ctx's.
func (s *Share) Take(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, s.size)
	if err := s.sem.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("%w: %d MiB for %s: %w", ErrFull, s.size>>20, s.name, err)
	}
	return func() { s.sem.Release(n) }, nil
}

// Try takes n bytes if they are free now.
func (s *Share) Try(n int64) (release func(), ok bool) {
	n = min(n, s.size)
	if !s.sem.TryAcquire(n) {
		return nil, false
	}
	return func() { s.sem.Release(n) }, true
}
