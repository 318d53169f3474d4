package ipfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

func rawCID(t *testing.T, data string) cid.Cid {
	t.Helper()
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An empty child would be skipped by who reads the file, and missed by who
// collects garbage: an image with one could be kept, and then never gc again.
func TestEmptyChild(t *testing.T) {
	b := testlayout.NewBlocks()
	leaf, err := ipfs.AddFile(t.Context(), b, bytes.NewReader([]byte("content")))
	if err != nil {
		t.Fatal(err)
	}
	absent := rawCID(t, "nobody has it")
	for name, parts := range map[string][]testlayout.Part{
		"behind a child": {{CID: leaf.CID, Size: 7}, {CID: absent}},
		"alone":          {{CID: absent}},
	} {
		c := testlayout.File(t, b, parts...)
		f, err := ipfs.OpenFile(t.Context(), b, c, 0)
		if err == nil {
			_, err = io.Copy(io.Discard, f)
			f.Close()
		}
		if !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("%s: got error %v, want one that matches ErrCorrupt", name, err)
		}
	}
}

// A failure that happens to wrap io.EOF must not pass for the end of a layer.
func TestAddFileOfBrokenReader(t *testing.T) {
	c, err := layer.NewCompressor(t.Context(), bytes.NewReader(storetest.Random(3<<20, "broken")), layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	blob, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	member := int(blob[16]) | int(blob[17])<<8 | int(blob[18])<<16 // its length, in the extra field
	broken := fmt.Errorf("reading a pack: %w", io.EOF)
	_, err = ipfs.AddFile(t.Context(), testlayout.NewBlocks(), io.MultiReader(bytes.NewReader(blob[:member]), failing{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A layout without its oci-layout file is one that skopeo does not read.
func TestVerifyLayoutFile(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	root := l.Publish(l.Image("amd64", []byte("layer")))
	if v, err := ipfs.Verify(t.Context(), b, root, func(int) {}); err != nil || v.Blobs == 0 {
		t.Fatalf("the whole layout: %+v, %v", v, err)
	}
	c, err := ipfs.Resolve(t.Context(), b, root, "oci-layout")
	if err != nil {
		t.Fatal(err)
	}
	b.Drop(c)
	if _, err := ipfs.Verify(t.Context(), b, root, func(int) {}); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("without oci-layout: got error %v, want one that matches ErrNotFound", err)
	}
}

// Few blocks that link to each other many times have more paths than anybody
// can walk.
func TestBlocksOfManyPaths(t *testing.T) {
	b := testlayout.NewBlocks()
	leaf, err := ipfs.AddFile(t.Context(), b, bytes.NewReader([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	top, size := leaf.CID, 1
	const levels = 60
	for range levels {
		top = testlayout.File(t, b, testlayout.Part{CID: top, Size: size}, testlayout.Part{CID: top, Size: size})
	}
	visited := 0
	err = ipfs.Blocks(t.Context(), b, top, 0, func(cid.Cid, int64) bool { visited++; return true })
	if err != nil || visited != levels+1 {
		t.Errorf("%d blocks were visited of %d (%v)", visited, levels+1, err)
	}
}
