package ipfs

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"
)

// Holder is a [Getter] that can keep what it has while it is being read, whatever is
// removed meanwhile.
type Holder interface {
	Getter
	// Hold gives a Getter of the blocks of the file or directory under c, all of which
	// stay until release is called. Errors are those of Get: they match
	// [ErrNotFound] when a block is missing.
	Hold(ctx context.Context, c cid.Cid) (held Getter, release func(), err error)
}

// Hold makes sure that the file or directory under c can be read from g as a whole, and
// has it stay until release is called, where g is a [Holder]. Of others only the blocks
// on the way to the last are looked at, which costs a few of them: who removes
// blocks removes all that nothing needs. Errors are those of Get.
func Hold(ctx context.Context, g Getter, c cid.Cid) (held Getter, release func(), err error) {
	if h, ok := g.(Holder); ok {
		return h.Hold(ctx, c)
	}
	return g, free, Last(ctx, g, c)
}

// Haser is a [Getter] that tells whether a block can probably be read, without reading
// it.
type Haser interface {
	Getter
	Has(ctx context.Context, c cid.Cid) bool
}

// Last reads the way to the last block below c. Errors are those of Get.
func Last(ctx context.Context, g Getter, c cid.Cid) error {
	for depth := 0; ; depth++ {
		if h, ok := g.(Haser); ok && depth > 0 && c.Type() == cid.Raw && h.Has(ctx, c) {
			return nil
		}
		data, err := g.Get(ctx, c)
		if err != nil {
			return err
		}
		links, err := Links(c, data)
		if err != nil || len(links) == 0 || depth == maxDepth {
			return err
		}
		c = links[len(links)-1].Cid
	}
}

// Hold implements [Holder].
func (f first) Hold(ctx context.Context, c cid.Cid) (held Getter, release func(), err error) {
	var unsure error
	for i, g := range f {
		h, ok := g.(Holder)
		if !ok {
			continue
		}
		held, release, err := h.Hold(ctx, c)
		if errors.Is(err, ErrUnavailable) { // it may have it, and cannot promise that it stays
			unsure = err
		}
		if err != nil {
			continue
		}
		others := append(first{held}, f[:i]...)
		return append(others, f[i+1:]...), release, nil
	}
	if unsure != nil {
		return nil, nil, unsure
	}
	return f, free, Last(ctx, f, c)
}
