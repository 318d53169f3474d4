package ipfs

import (
	"context"
	"io"
)

type progressKey struct{}

// WithProgress has fn told of every n bytes that arrive for requests made with
// the context, so that whoever waits for a block can tell a slow one from one
// that stands still. fn is called by several goroutines at once if the requests
// are; those of contexts around this one are told as well.
func WithProgress(ctx context.Context, fn func(n int)) context.Context {
	if outer, ok := ctx.Value(progressKey{}).(func(int)); ok {
		inner := fn
		fn = func(n int) { inner(n); outer(n) }
	}
	return context.WithValue(ctx, progressKey{}, fn)
}

// ProgressOf gives what [WithProgress] of ctx has told of bytes; nil when nobody wants to
// know.
func ProgressOf(ctx context.Context) func(n int) {
	fn, _ := ctx.Value(progressKey{}).(func(int))
	return fn
}

// Progress makes a reader that tells of what is read from r as [WithProgress] of
// ctx asks for.
func Progress(ctx context.Context, r io.Reader) io.Reader {
	fn := ProgressOf(ctx)
	if fn == nil {
		return r
	}
	return progress{r, fn}
}

type progress struct {
	r  io.Reader
	fn func(n int)
}

func (p progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.fn(n)
	}
	return n, err
}
