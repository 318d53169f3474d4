package ipfs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// sizes keeps blocks and counts what is read.
type sizes struct {
	blocks map[string][]byte
	read   map[cid.Cid]bool
}

func (s *sizes) Put(_ context.Context, c cid.Cid, data []byte) error {
	s.blocks[string(c.Hash())] = append([]byte(nil), data...)
	return nil
}

func (s *sizes) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	s.read[c] = true
	if data, ok := s.blocks[string(c.Hash())]; ok {
		return data, nil
	}
	return nil, ipfs.ErrNotFound
}

// An inventory has each block once, with its bytes, and no large leaf was read for it.
func TestInventory(t *testing.T) {
	s := &sizes{map[string][]byte{}, map[cid.Cid]bool{}}
	l := testlayout.New(t, s)
	large := make([]byte, 5<<20)
	for i := range large {
		large[i] = byte(i * i >> 7)
	}
	root := l.Publish(l.Image("amd64", large), l.Image("arm64", large))
	clear(s.read)
	list, err := ipfs.TakeInventory(t.Context(), s, root)
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	read := 0
	for _, data := range s.blocks {
		bytes += int64(len(data))
	}
	for c := range s.read {
		if len(s.blocks[string(c.Hash())]) > 128<<10 {
			read++
		}
	}
	whole := list.Whole()
	if got := whole.Part(); got.Bytes != bytes || got.Blocks != len(s.blocks) || got.Blobs != len(list.Blobs) || !whole.IsWhole() {
		t.Errorf("%+v of %d blocks with %d bytes", got, len(s.blocks), bytes)
	}
	if read > 0 {
		t.Errorf("%d large leaves were read", read)
	}

	lost := list.Blobs[0]
	share, err := list.Share(t.Context(), func(_ context.Context, c cid.Cid) (bool, error) { return c != lost.CID, nil })
	if err != nil || share.IsWhole() || len(share.Lacks()) != 1 || share.Lacks()[0] != lost.Digest {
		t.Errorf("without %s: lacks %v, %v", lost.Digest, share.Lacks(), err)
	}
	rest := list.ShareOfBlobs([]cid.Cid{lost.CID})
	if p := rest.Part(); p.Blobs != 1 || rest.IsWhole() {
		t.Errorf("the lost blob alone: %+v", p)
	}
	if !share.With(rest).IsWhole() || list.None().Part() != (ipfs.Part{}) {
		t.Error("both together are not the whole, or nothing is something")
	}
	files, err := list.Sampled(t.Context(), 4, func(_ context.Context, c cid.Cid) (bool, error) { return c != lost.CID, nil })
	if err != nil || len(files) != len(list.Blobs)-1 {
		t.Errorf("%d of %d blobs seem to be there, %v", len(files), len(list.Blobs), err)
	}
	refused := errors.New("refused")
	if _, err := list.Share(t.Context(), func(context.Context, cid.Cid) (bool, error) { return false, refused }); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
}

// Of what is no layout the blocks are listed all the same.
func TestInventoryOfATree(t *testing.T) {
	s := &sizes{map[string][]byte{}, map[cid.Cid]bool{}}
	link, err := ipfs.AddTree(t.Context(), s, map[string]ipfs.Link{"a/b": {CID: ipfs.EmptyDirectory}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), ipfs.EmptyDirectory, ipfs.EmptyDirectoryBlock()); err != nil {
		t.Fatal(err)
	}
	list, err := ipfs.TakeInventory(t.Context(), s, link.CID)
	if err != nil || list.Whole().Part().Blocks != 3 || len(list.Blobs) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := ipfs.TakeInventory(t.Context(), &sizes{nil, map[cid.Cid]bool{}}, link.CID); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("got %v, want %v", err, ipfs.ErrNotFound)
	}
}
