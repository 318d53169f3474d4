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

func (f first) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	var errs []error
	for _, g := range f {
		data, err := g.Get(ctx, c)
		if err == nil {
			return data, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		errs = append(errs, err)
	}
	switch len(errs) {
	case 0:
		return nil, fmt.Errorf("block %s: %w: no source to ask", c, ErrNotFound)
	case 1:
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

// View implements [Viewer].
func (f first) View(ctx context.Context, c cid.Cid, fn func(data []byte) error) error {
	if len(f) > 0 {
		if v, ok := f[0].(Viewer); ok {
			called := false
			err := v.View(ctx, c, func(data []byte) error {
				called = true
				return fn(data)
			})
			if called || err == nil {
				return err
			}
		}
	}
	data, err := f.Get(ctx, c)
	if err != nil {
		return err
	}
	return fn(data)
}

// Send implements [Sender].
func (f first) Send(ctx context.Context, c cid.Cid, skip int64, w io.ReaderFrom) (int64, error) {
	if len(f) > 0 {
		if s, ok := f[0].(Sender); ok {
			to := &watchedReaderFrom{w: w}
			n, err := s.Send(ctx, c, skip, to)
			if to.called || err == nil {
				return n, err
			}
		}
	}
	data, err := f.Get(ctx, c)
	if err != nil {
		return 0, err
	}
	if skip > int64(len(data)) {
		return 0, fmt.Errorf("%w: block %s has %d bytes, asked for those behind %d", ErrIntegrity, c, len(data), skip)
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
