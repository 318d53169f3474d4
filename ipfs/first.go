package ipfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// First asks several getters in order and returns the first block found. An
// [ErrUnavailable] of one does not hide a block of the next. It is a [Viewer]
// and a [Sender], at the price of Get where the getters are not.
func First(getters ...Getter) Getter {
	if len(getters) == 1 {
		return getters[0]
	}
	return first(getters)
}

type first []Getter

func (f first) Get(ctx context.Context, c cid.Cid) (data []byte, err error) {
	err = f.ask(ctx, c, func(g Getter) (_ bool, err error) {
		data, err = g.Get(ctx, c)
		return false, err
	})
	return data, err
}

// ask calls try with one getter after the other until one succeeds, or fails
// for good.
func (f first) ask(ctx context.Context, c cid.Cid, try func(g Getter) (final bool, err error)) error {
	var errs []error
	for _, g := range f {
		final, err := try(g)
		if err == nil || final || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	switch len(errs) {
	case 0:
		return fmt.Errorf("block %s: %w: no source to ask", c, ErrNotFound)
	case 1:
		return errs[0]
	}
	return errors.Join(errs...)
}

// View implements [Viewer].
func (f first) View(ctx context.Context, c cid.Cid, fn func(data []byte) error) error {
	return f.ask(ctx, c, func(g Getter) (called bool, err error) {
		show := func(data []byte) error {
			called = true
			return fn(data)
		}
		if v, ok := g.(Viewer); ok {
			err = v.View(ctx, c, show)
			return called, err
		}
		data, err := g.Get(ctx, c)
		if err == nil {
			err = show(data)
		}
		return called, err
	})
}

// Send implements [Sender].
func (f first) Send(ctx context.Context, c cid.Cid, skip int64, w io.ReaderFrom) (n int64, err error) {
	to := &watchedReaderFrom{w: w}
	err = f.ask(ctx, c, func(g Getter) (_ bool, err error) {
		if s, ok := g.(Sender); ok {
			n, err = s.Send(ctx, c, skip, to)
		} else {
			n, err = sendCopy(ctx, g, c, skip, to)
		}
		return to.called, err
	})
	return n, err
}

// sendCopy does what [Sender] does, with a block that was read.
func sendCopy(ctx context.Context, g Getter, c cid.Cid, skip int64, w io.ReaderFrom) (int64, error) {
	data, err := g.Get(ctx, c)
	if err != nil {
		return 0, err
	}
	if skip > int64(len(data)) {
		return 0, fmt.Errorf("%w: block %s has %d bytes, asked for those behind %d", ErrCorrupt, c, len(data), skip)
	}
	return w.ReadFrom(&io.LimitedReader{R: bytes.NewReader(data[skip:]), N: int64(len(data)) - skip})
}

// watchedReaderFrom tells whether anything was sent.
type watchedReaderFrom struct {
	w      io.ReaderFrom
	called bool
}

func (w *watchedReaderFrom) ReadFrom(r io.Reader) (int64, error) {
	w.called = true
	return w.w.ReadFrom(r)
}
