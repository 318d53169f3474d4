package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	trustless "github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Layouts are held in memory up to a limit, in which their directories count:
// megabytes for one of many blobs, of which a client names as many as it likes.
func TestDirectoriesCount(t *testing.T) {
	blocks := testlayout.NewBlocks()
	many := map[string]cid.Cid{}
	leaf, err := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		many[fmt.Sprintf("%x", i)] = leaf
	}
	top := func(i int) cid.Cid {
		var files [2]cid.Cid
		for n, data := range []string{string(oci.LayoutFile), fmt.Sprintf(`{"schemaVersion":2,"x":%d}`, i)} {
			link, err := ipfs.AddFile(t.Context(), blocks, strings.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			files[n] = link.CID
		}
		blobs := testlayout.Dir(t, blocks, map[string]cid.Cid{"sha256": testlayout.Dir(t, blocks, many), "sha512": testlayout.Dir(t, blocks, many)})
		return testlayout.Dir(t, blocks, map[string]cid.Cid{"oci-layout": files[0], "index.json": files[1], "blobs": blobs})
	}
	const each = 2 * 2000 * 150
	s := start(t, Config{Local: blocks, Limits: Limits{Layouts: 5 * each}})
	for i := range 10 {
		root := top(i)
		for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			s.get(name(root)+"/blobs/"+a.FromString("nothing").String()).expect(t, http.StatusNotFound, codeBlobUnknown)
		}
		if use := s.s.roots.opened.Usage(); use.Cost < each*int64(min(i+1, use.Entries)) || use.Entries > 5 {
			t.Errorf("%d layouts, which cost %d bytes", use.Entries, use.Cost)
		}
	}
}

// An index of a million empty descriptors is refused before it is a hundred
// times its size in memory.
func TestTooManyManifests(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	many := make([]ocispec.Descriptor, oci.MaxManifests+1)
	root := l.Publish(many...)
	s := start(t, Config{Local: blocks})
	s.both(name(root)+"/app/manifests/latest").expect(t, http.StatusInternalServerError, codeUnknown, "10001 descriptors")
}

// Blocks that are kept in memory take there what they are counted for, also from
// gateways that do not tell their length.
func TestSmallBlocksAreSmall(t *testing.T) {
	small := []byte(strings.Repeat("x", 200))
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum(small)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.ipld.raw")
		w.(http.Flusher).Flush()
		_, _ = w.Write(small)
	}))
	defer web.Close()
	g, err := trustless.New(web.URL, trustless.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Gateways: []Gateway{g}})
	if _, err := s.s.foreign.Get(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	kept, ok := s.s.foreign.blocks.Get(c)
	if cost := s.s.foreign.blocks.Usage().Cost; !ok || cap(kept) > 512 || cost < int64(cap(kept)) {
		t.Errorf("%d bytes in an array of %d, counted as %d", len(kept), cap(kept), cost)
	}
}

// take takes the block of a blob away and gives how to put it back.
func take(t *testing.T, blocks *testlayout.Blocks, root cid.Cid, d digest.Digest) (putBack func()) {
	t.Helper()
	l, err := ipfs.OpenLayout(t.Context(), blocks, root)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Locate(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	data, err := blocks.Get(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	blocks.Drop(c)
	return func() {
		if err := blocks.Put(t.Context(), c, data); err != nil {
			t.Fatal(err)
		}
	}
}

// A signature whose block a gateway lacks for a moment is not one that the image
// does not have: who verifies would be told so for ever.
func TestReferrersOutOfReach(t *testing.T) {
	for _, nested := range []bool{false, true} {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		image := l.Image("amd64", []byte("a layer"))
		signature := l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/example",
			Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{}, Subject: &image,
		})
		absent := l.Image("arm64", []byte("for another platform"))
		l.Without(absent.Digest) // the index is sparse, which is no fault
		away := signature.Digest
		top := []ocispec.Descriptor{image, signature, absent}
		if nested {
			index := l.Index(signature, absent)
			top, away = []ocispec.Descriptor{oci.Named(image, "app:1"), index}, index.Digest
		}
		root := l.Publish(top...)
		putBack := take(t, blocks, root, away)
		limits := patient()
		limits.Retry = time.Millisecond
		s := start(t, Config{Gateways: []Gateway{newGateway("http://gateway", blocks, well)}, Limits: limits})
		path := name(root) + "/referrers/" + image.Digest.String()
		s.get(path).expect(t, http.StatusServiceUnavailable, codeUnavailable, away.String())
		s.get(name(root)+"/manifests/"+image.Digest.String()).expect(t, http.StatusOK, "")
		putBack()
		waitUntil(t, func() bool { return s.get(path).StatusCode == http.StatusOK })
		var found ocispec.Index
		if err := json.Unmarshal(s.both(path).body, &found); err != nil || len(found.Manifests) != 1 || found.Manifests[0].Digest != signature.Digest {
			t.Errorf("referrers %+v, %v", found, err)
		}
	}
}
