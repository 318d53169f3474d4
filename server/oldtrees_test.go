package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// publishOld puts the tree of an old version on IPFS.
func publishOld(t *testing.T, version string, image oldtree.Image) (*testlayout.Blocks, cid.Cid) {
	t.Helper()
	blocks := testlayout.NewBlocks()
	return blocks, oldtree.Add(t, blocks, oldtree.Files(t, version, "coreos/etcd", image))
}

// pullOld reads a manifest by tag and all that it names as an engine does, and
// checks digests and sizes.
func (s *site) pullOld(base string) ocispec.Manifest {
	s.t.Helper()
	got := s.both(base+"/manifests/latest").expect(s.t, 200, "")
	d := got.Header.Get("Docker-Content-Digest")
	if d != digest.FromBytes(got.body).String() || got.Header.Get("Content-Type") != "application/vnd.docker.distribution.manifest.v2+json" {
		s.t.Errorf("manifest has header %v", got.Header)
	}
	if again := s.both(base+"/manifests/"+d).expect(s.t, 200, ""); !bytes.Equal(again.body, got.body) {
		s.t.Errorf("by digest the manifest is %s", again.body)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(got.body, &m); err != nil {
		s.t.Fatal(err)
	}
	for _, desc := range append(m.Layers, m.Config) {
		blob := s.both(base+"/blobs/"+desc.Digest.String()).expect(s.t, 200, "")
		if int64(len(blob.body)) != desc.Size || blob.ContentLength != desc.Size || digest.FromBytes(blob.body) != desc.Digest {
			s.t.Errorf("blob %s has %d bytes, digest %s", desc.Digest, len(blob.body), digest.FromBytes(blob.body))
		}
	}
	return m
}

// What older versions left on IPFS must still pull, under every name that it
// ever had.
func TestOldTrees(t *testing.T) {
	image := oldtree.NewImage(t, "old", 700<<10, 20)
	for _, version := range []string{"0.0.1", "0.0.4", "0.1.0"} {
		blocks, root := publishOld(t, version, image)
		s := start(t, Config{Local: blocks})
		spell := ref.Spell(root)
		for _, name := range []string{spell.Ciq, spell.Hex, spell.V1} {
			t.Run(version+" "+name, func(t *testing.T) {
				m := s.pullOld("/v2/" + name + "/coreos/etcd")
				for i, l := range m.Layers {
					if isTar := l.Digest == digest.FromBytes(image.Layers[i]); isTar != (version == "0.1.0") {
						t.Errorf("layer %d is %+v", i, l)
					}
				}
				var tags struct{ Tags []string }
				got := s.both("/v2/"+name+"/coreos/etcd/tags/list").expect(t, 200, "")
				if json.Unmarshal(got.body, &tags) != nil || fmt.Sprint(tags.Tags) != "[latest]" {
					t.Errorf("tags %s", got.body)
				}
				s.both("/v2/"+name+"/coreos/etcd/referrers/"+m.Config.Digest.String()).expect(t, 200, "")
			})
		}
	}
}

// Engines that resume must get what is missing, of inflated layers too.
func TestOldTreeRanges(t *testing.T) {
	image := oldtree.NewImage(t, "old", 700<<10)
	blocks, root := publishOld(t, "0.1.0", image)
	s := start(t, Config{Local: blocks})
	tar := image.Layers[0]
	path := name(root) + "/coreos/etcd/blobs/" + digest.FromBytes(tar).String()
	for in, want := range map[string][]byte{
		"bytes=0-9": tar[:10], "bytes=500000-": tar[500_000:], "bytes=-7": tar[len(tar)-7:],
		fmt.Sprintf("bytes=%d-", len(tar)-1): tar[len(tar)-1:],
	} {
		got := s.both(path, "Range: "+in).expect(t, 206, "")
		if !bytes.Equal(got.body, want) || !strings.HasSuffix(got.Header.Get("Content-Range"), fmt.Sprintf("/%d", len(tar))) {
			t.Errorf("%s: %d bytes, want %d; %s", in, len(got.body), len(want), got.Header.Get("Content-Range"))
		}
	}
	if got := s.get(path, "Range: bytes=0-1,5-6").expect(t, 200, ""); !bytes.Equal(got.body, tar) {
		t.Errorf("several ranges: %d bytes", len(got.body))
	}
	s.both(path, fmt.Sprintf("Range: bytes=%d-", len(tar))).expect(t, 416, codeRangeInvalid)
	s.both(path, `If-None-Match: "`+digest.FromBytes(tar).String()+`"`).expect(t, 304, "")
}

// Nobody must be left to guess why a schema 1 image does not pull.
func TestSchema1SaysConvert(t *testing.T) {
	for _, version := range []string{"0.0.2", "0.0.3"} {
		blocks, root := publishOld(t, version, oldtree.NewImage(t, "old"))
		s := start(t, Config{Local: blocks})
		s.get(name(root)+"/coreos/etcd/manifests/latest").expect(t, 404, codeManifestUnknown, "image2ipfs convert "+ref.Ciq(root))
		s.both(name(root)+"/coreos/etcd/manifests/latest").expect(t, 404, codeManifestUnknown)
		s.both(name(root)+"/coreos/etcd/tags/list").expect(t, 200, "")
	}
}

// Gateways have the gzip bytes: clients go there for those, never for layers
// that must be inflated.
func TestOldTreeRedirects(t *testing.T) {
	image := oldtree.NewImage(t, "old", 1000)
	for _, version := range []string{"0.0.1", "0.1.0"} {
		blocks, root := publishOld(t, version, image)
		gw := newGateway("http://gw", blocks, well)
		s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: patient()})
		var m ocispec.Manifest
		got := s.get(name(root)+"/coreos/etcd/manifests/latest").expect(t, 200, "")
		if err := json.Unmarshal(got.body, &m); err != nil {
			t.Fatal(err)
		}
		path := name(root) + "/coreos/etcd/blobs/"
		if version == "0.1.0" {
			blob := s.both(path+m.Layers[0].Digest.String()).expect(t, 200, "")
			if digest.FromBytes(blob.body) != m.Layers[0].Digest {
				t.Error("layer has another digest")
			}
		} else {
			blob := s.both(path+m.Layers[0].Digest.String()).expect(t, 307, "")
			if want := "http://gw/ipfs/" + root.String() + "/coreos/etcd/blobs/" + m.Layers[0].Digest.String(); blob.Header.Get("Location") != want {
				t.Errorf("redirected to %s, want %s", blob.Header.Get("Location"), want)
			}
		}
		s.both(path+m.Config.Digest.String()).expect(t, 307, "")
	}
}

// A server that is not open must not fetch others' layers to inflate them, and
// say so; an open one does.
func TestForeignOldTree(t *testing.T) {
	image := oldtree.NewImage(t, "old", 1000)
	blocks, root := publishOld(t, "0.1.0", image)
	path := name(root) + "/coreos/etcd/blobs/" + digest.FromBytes(image.Layers[0]).String()
	gw := newGateway("http://gw", blocks, well)
	s := start(t, Config{Gateways: []Gateway{gw}})
	s.both(path).expect(t, 403, codeDenied)
	s.get(path).expect(t, 403, codeDenied, "--open")
	open := start(t, Config{Gateways: []Gateway{gw}, Open: true, NoRedirect: true})
	open.pullOld(name(root) + "/coreos/etcd")
}

// A layer whose content is not what its digest says must not come whole.
func TestOldTreeThatLies(t *testing.T) {
	image := oldtree.NewImage(t, "old", 300<<10)
	files := oldtree.Files(t, "0.1.0", "app", image)
	d := digest.FromBytes(image.Layers[0])
	other := bytes.Clone(image.Layers[0])
	other[1000] ^= 1
	files["app/blobs/"+d.String()] = oldtree.Gzip(t, other)
	blocks := testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, files)
	s := start(t, Config{Local: blocks})
	resp, err := client.Get(s.url + name(root) + "/app/blobs/" + d.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes came, all of them", n)
	}
}

// A size that the trailer has wrong costs one failed pull, not all.
func TestWrongTrailerIsFoundOut(t *testing.T) {
	tar := oldtree.Tar(t, "x", big(300<<10))
	image := oldtree.NewImage(t, "old")
	image.Config = bytes.Replace(image.Config, []byte(digest.FromBytes(image.Layers[0])), []byte(digest.FromBytes(tar)), 1)
	image.Layers[0] = tar
	files := oldtree.Files(t, "0.1.0", "app", image)
	// Two members: the trailer has the size of the second, as it has that of
	// what is above 4 GiB.
	var packed bytes.Buffer
	for _, part := range [][]byte{tar[:512], tar[512:]} {
		z, err := gzip.NewWriterLevel(&packed, 9)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d := digest.FromBytes(tar)
	files["app/blobs/"+d.String()] = packed.Bytes()
	blocks := testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, files)
	s := start(t, Config{Local: blocks})
	size := func() int64 {
		got := s.get(name(root)+"/app/manifests/latest").expect(t, 200, "")
		var m ocispec.Manifest
		if err := json.Unmarshal(got.body, &m); err != nil {
			t.Fatal(err)
		}
		return m.Layers[0].Size
	}
	if n := size(); n != int64(len(tar)-512) {
		t.Fatalf("size is %d before anybody knows", n)
	}
	resp, err := client.Get(s.url + name(root) + "/app/blobs/" + d.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the layer came, although its size is wrong")
	}
	resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), client.Timeout)
	defer cancel()
	for size() != int64(len(tar)) {
		if ctx.Err() != nil {
			t.Fatal("the size stays wrong")
		}
	}
	s.both(name(root)+"/app/blobs/"+d.String()).expect(t, http.StatusOK, "")
}

// Of a layer above 4 GiB the trailer has not the size: it is found out once, and
// remembered when the tree was forgotten.
func TestOldTreeAbove4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("inflates 4 GiB")
	}
	const size = 4<<30 + 1<<20
	image := oldtree.NewImage(t, "old")
	files := oldtree.Files(t, "0.1.0", "app", image)
	d := digest.FromBytes(image.Layers[0]) // not that of the zeros, which nobody reads to their end
	files["app/blobs/"+d.String()] = oldtree.GzipOfZeros(t, size)
	blocks := testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, files)
	s := start(t, Config{Local: blocks})
	for range 2 {
		got := s.get(name(root) + "/app/manifests/latest")
		for got.StatusCode == http.StatusServiceUnavailable { // a busy machine takes longer than a request may
			got = s.get(name(root) + "/app/manifests/latest")
		}
		got.expect(t, 200, "")
		var m ocispec.Manifest
		if err := json.Unmarshal(got.body, &m); err != nil || m.Layers[0].Size != size {
			t.Errorf("manifest %s: %v", got.body, err)
		}
		head := s.do(http.MethodHead, name(root)+"/app/blobs/"+d.String()).expect(t, 200, "")
		if head.ContentLength != size {
			t.Errorf("HEAD says %d bytes", head.ContentLength)
		}
		if n, ok := s.s.old.sizes.Get(blobCID(t, s, root, d)); !ok || n != size {
			t.Errorf("remembered %d, %v", n, ok)
		}
		s.s.roots.opened.Forget(root)
	}
}

func blobCID(t *testing.T, s *site, root cid.Cid, d digest.Digest) cid.Cid {
	t.Helper()
	l, err := s.s.roots.open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Locate(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return b.CID
}

// A gateway has the root of an old tree and no more, the other is down: the
// image may be there, and a 404 would send an engine to another registry.
func TestOldTreeOutOfReach(t *testing.T) {
	blocks, top := testlayout.NewBlocks(), testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, oldtree.Files(t, "0.0.4", "app", oldtree.NewImage(t, "old")))
	data, err := blocks.Get(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := top.Put(t.Context(), root, data); err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Gateways: []Gateway{newGateway("http://first", top, well), newGateway("http://second", blocks, dead)}, Limits: quick})
	s.get(name(root)+"/app/manifests/latest").expect(t, http.StatusServiceUnavailable, codeUnavailable, "http://second")
}
