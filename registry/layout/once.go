package layout

import (
	"context"
	"sync/atomic"
)

// once keeps what was found out of a layout; one caller looks at a time, and
// those who wait for it can go away.
type once[T any] struct {
	slot  chan struct{}
	value *atomic.Pointer[T]
}

func newOnce[T any]() once[T] {
	return once[T]{slot: make(chan struct{}, 1), value: new(atomic.Pointer[T])}
}

// known gives what was found out, if it was.
func (o once[T]) known() (value T, ok bool) {
	if p := o.value.Load(); p != nil {
		return *p, true
	}
	return value, false
}

// get gives what is known, else what find finds; that is kept when it is final.
func (o once[T]) get(ctx context.Context, find func() (value T, final bool, err error)) (T, error) {
	if value, ok := o.known(); ok {
		return value, nil
	}
	var none T
	select {
	case o.slot <- struct{}{}:
		defer func() { <-o.slot }()
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	if value, ok := o.known(); ok {
		return value, nil
	}
	value, final, err := find()
	if err != nil {
		return none, err
	}
	if final {
		o.value.Store(&value)
	}
	return value, nil
}
