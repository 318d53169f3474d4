package legacy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Ranges of an inflated blob are those of its content, in any order; a blob
// with other content than its digest says never comes whole.
func TestInflated(t *testing.T) {
	ctx := context.Background()
	tar := oldtree.Tar(t, "x", bytes.Repeat([]byte("0123456789abcdef"), 50_000))
	blocks := testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, map[string][]byte{"f": oldtree.Gzip(t, tar)})
	c, err := ipfs.Resolve(ctx, blocks, root, "f")
	if err != nil {
		t.Fatal(err)
	}
	start := func(d digest.Digest, size int64) *Inflated {
		f, err := ipfs.OpenFile(ctx, blocks, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := NewInflated(f, d, size)
		t.Cleanup(func() { b.Close() })
		return b
	}
	d, size := digest.FromBytes(tar), int64(len(tar))
	b := start(d, size)
	for _, at := range []int64{0, 100_000, 10, size - 1, size, 512} {
		if _, err := b.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, tar[at:]) {
			t.Errorf("from %d: %d bytes (%v), want %d", at, len(got), err, size-at)
		}
	}
	for name, b := range map[string]*Inflated{
		"other digest": start(digest.FromString("x"), size), "shorter": start(d, size-512), "longer": start(d, size+512),
	} {
		got, err := io.ReadAll(b)
		if !errors.Is(err, oci.ErrCorrupt) || int64(len(got)) >= b.Size() {
			t.Errorf("%s: %d bytes of %d (%v)", name, len(got), b.Size(), err)
		}
	}
}

// The trailer counts modulo 4 GiB: what it says must be doubted where more can
// be there.
func TestPlausible(t *testing.T) {
	for _, c := range []struct {
		packed, size int64
		want         bool
	}{
		{1 << 20, 3 << 20, true},      // usual
		{100 << 20, 300 << 20, true},  // usual
		{1 << 20, 1000 << 20, true},   // deflate cannot hold 4 GiB more in so few bytes
		{3 << 20, 3<<20 + 512, true},  // hardly compresses
		{2 << 30, 1 << 30, false},     // larger than its content
		{500 << 20, 900 << 20, false}, // 4 GiB more would be usual as well
		{5 << 20, 500 << 20, false},   // unusual, and so is 4 GiB more
		{1 << 20, 3<<20 + 1, false},   // no tar
		{4200 << 10, 1536, false},     // 4 GiB of zeros
	} {
		if got := plausible(c.packed, c.size); got != c.want {
			t.Errorf("%d bytes for %d: %v, want %v", c.packed, c.size, got, c.want)
		}
	}
}
