package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Source is whatever gives blocks, and what a test can do to it. A nil func means
// that it cannot come to that.
type Source struct {
	ipfs.Getter
	// Put has it give a block from now on.
	Put func(t testing.TB, c cid.Cid, data []byte)
	// Lie has it give other bytes in place of a block.
	Lie func(t testing.TB, c cid.Cid, data []byte)
	// Down has it answer nothing any more.
	Down func(t testing.TB)
}

// RunGetter tests the sources that open makes, which registers what has to be
// cleaned up. Blocks that a source does not check are checked by [ipfs.Verified], as
// those who read from it do.
func RunGetter(t *testing.T, open func(t *testing.T) Source) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s Source)
	}{
		{"blocks of all sizes come as they are", testSizes},
		{"what is not there is not found", testLacking},
		{"a false block is found out", testFalse},
		{"a source that does not answer is unavailable", testDown},
		{"a cancelled context ends the question", testCancelled},
		{"several ask at once", testAtOnce},
		{"blocks stay as they came", testStays},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// RawBlock makes a block of n bytes that depend on seed alone.
func RawBlock(t testing.TB, n int, seed string) (cid.Cid, []byte) {
	t.Helper()
	data := Random(n, seed)
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	return c, data
}

// Lying is a getter that gives false blocks in place of some.
type Lying struct {
	ipfs.Getter
	mu   sync.Mutex
	lies map[string][]byte // by multihash
}

// Lie implements [Source.Lie].
func (l *Lying) Lie(_ testing.TB, c cid.Cid, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lies == nil {
		l.lies = map[string][]byte{}
	}
	l.lies[string(c.Hash())] = data
}

// Get implements [ipfs.Getter].
func (l *Lying) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	l.mu.Lock()
	data, lies := l.lies[string(c.Hash())]
	l.mu.Unlock()
	if lies {
		return data, nil
	}
	return l.Getter.Get(ctx, c)
}

// only fails unless err matches the one kind of the promised errors and names c.
func only(t *testing.T, err, kind error, c cid.Cid) {
	t.Helper()
	for _, promised := range []error{ipfs.ErrNotFound, ipfs.ErrUnavailable, ipfs.ErrCorrupt, context.Canceled} {
		if errors.Is(err, promised) != (promised == kind) {
			t.Errorf("%v: matches %q: %t, want %q alone", err, promised, errors.Is(err, promised), kind)
		}
	}
	if kind != context.Canceled && err != nil && !strings.Contains(err.Error(), c.String()) {
		t.Errorf("%v does not name block %s", err, c)
	}
}

func testSizes(t *testing.T, s Source) {
	for _, n := range []int{0, 1, 4095, 256 << 10, 1 << 20, 2 << 20} {
		c, data := RawBlock(t, n, "size")
		s.Put(t, c, data)
		got, err := s.Get(t.Context(), c)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("block of %d bytes: %d bytes, %v", n, len(got), err)
		}
	}
}

func testLacking(t *testing.T, s Source) {
	here, data := RawBlock(t, 100, "here")
	s.Put(t, here, data)
	c, _ := RawBlock(t, 100, "nowhere")
	got, err := s.Get(t.Context(), c)
	only(t, err, ipfs.ErrNotFound, c)
	if got != nil {
		t.Errorf("%d bytes beside the error", len(got))
	}
	if _, err := s.Get(t.Context(), here); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func testFalse(t *testing.T, s Source) {
	if s.Lie == nil {
		t.Skip("it cannot hold a false block")
	}
	c, data := RawBlock(t, 1000, "true")
	s.Put(t, c, data)
	s.Lie(t, c, Random(1000, "false"))
	_, err := ipfs.Verified(s).Get(t.Context(), c)
	only(t, err, ipfs.ErrCorrupt, c)
}

func testDown(t *testing.T, s Source) {
	if s.Down == nil {
		t.Skip("it always answers")
	}
	c, data := RawBlock(t, 100, "here")
	s.Put(t, c, data)
	s.Down(t)
	_, err := s.Get(t.Context(), c)
	only(t, err, ipfs.ErrUnavailable, c)
}

// A question that was taken back is nobody's fault, and ends soon.
func testCancelled(t *testing.T, s Source) {
	c, _ := RawBlock(t, 100, "nowhere")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if _, err := s.Get(ctx, c); !errors.Is(err, ipfs.ErrNotFound) { // one that knows at once may say so
		only(t, err, context.Canceled, c)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to end", took)
	}
}

func testAtOnce(t *testing.T, s Source) {
	const blocks, readers = 20, 8
	want := map[cid.Cid][]byte{}
	for i := range blocks {
		c, data := RawBlock(t, 10_000*i, fmt.Sprint("at once", i))
		s.Put(t, c, data)
		want[c] = data
	}
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for c, data := range want {
				if got, err := s.Get(t.Context(), c); err != nil || !bytes.Equal(got, data) {
					t.Errorf("block of %d bytes: %d bytes, %v", len(data), len(got), err)
				}
			}
		})
	}
	all.Wait()
}

// Whoever holds a block must not see it change when the next is read.
func testStays(t *testing.T, s Source) {
	first, data := RawBlock(t, 5000, "first")
	s.Put(t, first, data)
	held, err := s.Get(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		c, other := RawBlock(t, 5000, fmt.Sprint("next", i))
		s.Put(t, c, other)
		if _, err := s.Get(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(held, data) {
		t.Error("the block has changed since it came")
	}
}
