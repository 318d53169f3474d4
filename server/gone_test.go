package server

import (
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// removeAndCollect removes a root as other processes do, and collects garbage.
func removeAndCollect(t *testing.T, path string, root cid.Cid) {
	t.Helper()
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(t.Context(), packstore.GCOptions{}); err != nil {
		t.Fatal(err)
	}
}

// stored puts a published image into a store in a directory.
func stored(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) (*packstore.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	if err := blocks.PutInto(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
		t.Fatal(err)
	}
	return s, path
}

// A blob that is being sent when its image is removed and garbage is collected comes
// to its end; after that every answer is 404, also of what was asked for before.
func TestRemovedWhileServed(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 24<<20)
	local, path := stored(t, blocks, p.root)
	s := start(t, Config{Local: local, Dir: path})
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	file := "/ipfs/" + p.root.String() + "/blobs/sha256/" + p.layer.Encoded()
	var open []*http.Response
	for _, at := range []string{p.blob(), file, "/ipfs/" + p.root.String() + "?format=car"} {
		resp, err := client.Get(s.url + at)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		open = append(open, resp)
	}
	removeAndCollect(t, path, p.root)
	for i, resp := range open {
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("answer %d: %s, %d bytes: %v", i, resp.Status, len(body), err)
		}
		if i < 2 && !bytes.Equal(body, p.data) {
			t.Errorf("answer %d has %d bytes, the blob %d", i, len(body), len(p.data))
		}
	}
	s.both(p.manifest()).expect(t, http.StatusNotFound, codeNameUnknown)
	s.both(p.blob()).expect(t, http.StatusNotFound, codeNameUnknown)
	s.both(name(p.root)+"/app/tags/list").expect(t, http.StatusNotFound, codeNameUnknown)
	if r := s.both(file); r.StatusCode != http.StatusNotFound {
		t.Errorf("%s: %s", file, r.Status)
	}
}

// The name is gone as soon as it is removed, before its blocks are.
func TestRemovedBeforeGC(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1<<20)
	local, path := stored(t, blocks, p.root)
	s := start(t, Config{Local: local, Dir: path})
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	s.both(p.blob()).expect(t, http.StatusOK, "")
	if err := local.Remove(t.Context(), p.root); err != nil {
		t.Fatal(err)
	}
	s.both(p.manifest()).expect(t, http.StatusNotFound, codeNameUnknown)
	s.both(p.blob()).expect(t, http.StatusNotFound, codeNameUnknown)
	stays, _ := stored(t, blocks, p.root)
	start(t, Config{Local: stays}).both(p.blob()).expect(t, http.StatusOK, "")
}

// Of a store that cannot hold what it gives, as Kubo, the last block of a blob is looked
// for before the answer begins, and its root each time.
func TestBlocksGoneFromElsewhere(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 5<<20)
	s := start(t, Config{Local: blocks, LocalAhead: 2})
	s.both(p.blob()).expect(t, http.StatusOK, "")
	file, err := ipfs.Resolve(t.Context(), blocks, p.root, "blobs/sha256/"+p.layer.Encoded())
	if err != nil {
		t.Fatal(err)
	}
	var last cid.Cid
	if err := ipfs.Blocks(t.Context(), blocks, file, 0, func(c cid.Cid, _ int64) bool { last = c; return true }); err != nil {
		t.Fatal(err)
	}
	blocks.Drop(last)
	s.both(p.blob()).expect(t, http.StatusNotFound, codeBlobUnknown)
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	blocks.Drop(p.root)
	s.both(p.manifest()).expect(t, http.StatusNotFound, codeNameUnknown)
	s.both(p.blob()).expect(t, http.StatusNotFound, codeNameUnknown)
}
