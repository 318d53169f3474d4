package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Clients that were redirected here find files under their paths, in ranges,
// under every spelling of the CID.
func TestIPFSPath(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 3<<20)
	s := start(t, Config{Local: blocks})
	spell := ref.Spell(p.root)
	for _, root := range []string{spell.V1, spell.V0, spell.Base36, spell.Ciq} {
		path := "/ipfs/" + root + "/blobs/sha256/" + p.layer.Encoded()
		got := s.both(path).expect(t, http.StatusOK, "")
		if !bytes.Equal(got.body, p.data) || got.Header.Get("X-Ipfs-Path") != path || got.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d bytes, header %v", path, len(got.body), got.Header)
		}
	}
	path := "/ipfs/" + spell.V1 + "/blobs/sha256/" + p.layer.Encoded()
	got := s.get(path, "Range: bytes=1048570-1048589").expect(t, http.StatusPartialContent, "")
	if !bytes.Equal(got.body, p.data[1048570:1048590]) {
		t.Error("other bytes in a range")
	}
	s.both(path, "If-None-Match: "+got.Header.Get("Etag")).expect(t, http.StatusNotModified, "")
	if got := s.both("/ipfs/" + spell.V1 + "/index.json"); got.Header.Get("Content-Type") != "application/json" || !strings.Contains(string(got.body), p.image.String()) {
		t.Errorf("index.json: %v %s", got.Header, got.body)
	}
	if got := s.both("/ipfs/"+spell.V1+"/").expect(t, http.StatusOK, ""); !strings.Contains(string(got.body), `<a href="/ipfs/`+spell.V1+`/index.json">index.json</a>`) {
		t.Errorf("listing: %s", got.body)
	}
	for path, status := range map[string]int{
		"/ipfs/" + spell.V1 + "/nothing": 404, "/ipfs/" + spell.V1 + "/index.json/x": 404, "/ipfs/nonsense": 400, "/ipfs/": 400,
		"/ipfs/" + testlayout.New(t, testlayout.NewBlocks()).Publish().String(): 404,
	} {
		if got := s.both(path); got.StatusCode != status || len(got.body) == 0 {
			t.Errorf("%s: %d %q, want %d", path, got.StatusCode, got.body, status)
		}
	}
}

// Blocks of a store behind a socket are read ahead, several at once: the CIDs
// that a CAR begins with are none of theirs.
func TestIPFSPathReadsAhead(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 20<<20)
	s := start(t, Config{Local: blocks, LocalAhead: 16})
	if got := s.get("/ipfs/" + p.root.String() + "/blobs/sha256/" + p.layer.Encoded()); !bytes.Equal(got.body, p.data) {
		t.Errorf("%d bytes of %d", len(got.body), len(p.data))
	}
}

// Another image2ipfs, or any trustless client, reads blocks that it can check.
func TestTrustlessBlocks(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 3<<20)
	s := start(t, Config{Local: blocks})
	path := "/ipfs/" + p.root.String()
	for _, got := range []reply{s.both(path + "?format=raw"), s.both(path, "Accept: application/vnd.ipld.raw")} {
		got.expect(t, http.StatusOK, "")
		if err := ipfs.VerifyBlock(p.root, got.body); err != nil {
			t.Error(err)
		}
		h := got.Header
		if h.Get("Content-Type") != "application/vnd.ipld.raw" || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Etag") != `"`+p.root.String()+`.raw"` || !strings.Contains(h.Get("Cache-Control"), "immutable") {
			t.Errorf("header %v", h)
		}
	}
	if got := s.both("/ipfs/bafkqaaa?format=raw").expect(t, http.StatusOK, ""); len(got.body) != 0 { // how gateways are probed
		t.Errorf("empty block has %d bytes", len(got.body))
	}
	s.get("/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy?format=raw").expect(t, http.StatusNotFound, "")
}

// A CAR moves a whole image in one request; every block is in it once.
func TestCAR(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 3<<20)
	s := start(t, Config{Local: blocks})
	read := func(path string) (root cid.Cid, got *testlayout.Blocks) {
		t.Helper()
		resp := s.both(path).expect(t, http.StatusOK, "")
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/vnd.ipld.car; version=1") {
			t.Errorf("Content-Type %q", resp.Header.Get("Content-Type"))
		}
		r, err := car.NewBlockReader(bytes.NewReader(resp.body))
		if err != nil {
			t.Fatal(err)
		}
		got = testlayout.NewBlocks()
		for n := 0; ; n++ {
			b, err := r.Next() // checks the hash
			if errors.Is(err, io.EOF) {
				if n != got.Len() {
					t.Errorf("%d blocks, %d of them different", n, got.Len())
				}
				return r.Roots[0], got
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Put(context.Background(), b.Cid(), b.RawData()); err != nil {
				t.Fatal(err)
			}
		}
	}
	root, got := read("/ipfs/" + p.root.String() + "?format=car")
	if root != p.root || got.Len() != blocks.Len() {
		t.Errorf("root %s, %d of %d blocks", root, got.Len(), blocks.Len())
	}
	if _, got = read("/ipfs/" + p.root.String() + "?format=car&dag-scope=block"); got.Len() != 1 {
		t.Errorf("scope block: %d blocks", got.Len())
	}
	if _, got = read("/ipfs/" + p.root.String() + "?format=car&dag-scope=entity"); got.Len() != 1 {
		t.Errorf("scope entity of a directory: %d blocks", got.Len())
	}
	file := "/blobs/sha256/" + p.layer.Encoded()
	_, got = read("/ipfs/" + p.root.String() + file + "?format=car&dag-scope=entity")
	c, err := ipfs.Resolve(t.Context(), got, p.root, file) // the path's blocks are there too
	if err != nil {
		t.Fatal(err)
	}
	if data, err := ipfs.ReadFile(t.Context(), got, c, 1<<30); err != nil || !bytes.Equal(data, p.data) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	s.get("/ipfs/"+p.root.String()+"?format=car&dag-scope=x").expect(t, http.StatusBadRequest, "")
}

// The listing of a directory of this store takes as much as a page holds, not
// as much as there is.
func TestListingIsBounded(t *testing.T) {
	blocks := testlayout.NewBlocks()
	s := start(t, Config{Local: blocks})
	list := func(c cid.Cid) (string, int) {
		before := blocks.Gets()
		got := s.get("/ipfs/"+c.String()+"/").expect(t, http.StatusOK, "")
		return string(got.body), blocks.Gets() - before
	}
	if page, n := list(testlayout.ShardBomb(t, blocks, 5)); n > 4000 || !strings.Contains(page, "and more") {
		t.Errorf("%d blocks read for %q", n, page)
	}
	leaf, err := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum(nil)
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]cid.Cid{}
	for i := range maxListed {
		entries[fmt.Sprintf("sha256-%057x", i)] = leaf
	}
	page, _ := list(testlayout.Dir(t, blocks, entries))
	if n := strings.Count(page, "<li>"); n != maxListed || strings.Contains(page, "and more") {
		t.Errorf("%d of %d entries listed", n, maxListed)
	}
	entries["one more"] = leaf
	page, _ = list(testlayout.Dir(t, blocks, entries))
	if n := strings.Count(page, "<li>"); n != maxListed || !strings.Contains(page, "and more") {
		t.Errorf("%d of %d entries listed", n, maxListed+1)
	}
}
