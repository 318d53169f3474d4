package sources

import (
	"context"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// mender takes blocks.
type mender struct {
	put    []cid.Cid
	err    error
	closed bool
}

func (m *mender) Put(_ context.Context, c cid.Cid, _ []byte) error {
	if m.err == nil {
		m.put = append(m.put, c)
	}
	return m.err
}

func (m *mender) Close() error { m.closed = true; return nil }

// What is damaged or lost is put right once, with a block that is right; a store
// that merely does not answer is left alone, and what cannot be healed is told with
// its fault and the reason.
func TestHealer(t *testing.T) {
	c := block(t)
	full := errors.New("disk is full")
	for name, test := range map[string]struct {
		stored, other getFunc
		err           error // of the mender
		healed        bool
		want          []error
	}{
		"whole":          {stored: good, other: lying},
		"damaged":        {stored: lying, other: good, healed: true},
		"lost":           {stored: lacking, other: good, healed: true},
		"the other lies": {stored: lying, other: lying, want: []error{ipfs.ErrCorrupt}},
		"nobody has it":  {stored: lacking, other: lacking, want: []error{ipfs.ErrNotFound}},
		"store is down":  {stored: failing, other: good, want: []error{ipfs.ErrUnavailable}},
		"no room for it": {stored: lacking, other: good, err: full, want: []error{ipfs.ErrNotFound}},
	} {
		m := &mender{err: test.err}
		told := 0
		others, _ := newSet(t, Options{}, test.other)
		h := NewHealer(&fake{get: test.stored}, m, others, func(got cid.Cid) {
			if told++; !got.Equals(c) {
				t.Errorf("%s: told of %s", name, got)
			}
		})
		for range 2 {
			_, err := h.Get(t.Context(), c)
			if len(test.want) == 0 && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
			}
		}
		if (told == 1) != test.healed || told > 1 {
			t.Errorf("%s: told %d times", name, told)
		}
		if err := h.Close(); err != nil || !m.closed {
			t.Errorf("%s: closing: %v, mender closed: %t", name, err, m.closed)
		}
	}
}

// A store is healed where it is to have the blocks and somebody else may have them; what
// was opened for it is closed otherwise.
func TestHealerOf(t *testing.T) {
	full := errors.New("disk is full")
	for name, test := range map[string]struct {
		others []getFunc
		mend   error
		begun  bool
		healer bool
		want   error
	}{
		"nobody else":               {},
		"not for the store to hold": {others: []getFunc{good}, mend: ipfs.ErrNotFound, begun: true},
		"it cannot be begun":        {others: []getFunc{good}, mend: full, begun: true, want: full},
		"damaged or not":            {others: []getFunc{good}, begun: true, healer: true},
	} {
		others, _ := newSet(t, Options{}, test.others...)
		begun := false
		h, err := HealerOf(&fake{get: good}, func() (Mender, error) { begun = true; return &mender{}, test.mend }, others, nil)
		if (h != nil) != test.healer || !errors.Is(err, test.want) || begun != test.begun {
			t.Errorf("%s: healer %t, error %v, begun %t", name, h != nil, err, begun)
		}
		if h != nil {
			err = h.Close()
		}
		if test.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
