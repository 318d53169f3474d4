package legacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// open puts files on IPFS and opens the tree.
func open(t *testing.T, files map[string][]byte) (*Tree, *testlayout.Blocks) {
	t.Helper()
	blocks := testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, files)
	tree, err := Open(context.Background(), blocks, root, Size(blocks))
	if err != nil {
		t.Fatal(err)
	}
	return tree, blocks
}

// Every version's tree must be understood, under names of one component and of
// several: else what somebody published years ago is lost.
func TestOpen(t *testing.T) {
	image := oldtree.NewImage(t, "old", 600<<10, 10)
	for _, version := range oldtree.Versions {
		for _, name := range []string{"busybox", "coreos/etcd", "a/b/manifests/blobs/c"} {
			t.Run(version+" "+name, func(t *testing.T) {
				tree, _ := open(t, oldtree.Files(t, version, name, image))
				if len(tree.Stored) != 1 || tree.Stored[0].Name != name+":latest" {
					t.Fatalf("images %+v", tree.Stored)
				}
				got := tree.Stored[0]
				if want := version == "0.0.2" || version == "0.0.3"; got.Schema1() != want {
					t.Errorf("schema 1: %v, want %v", got.Schema1(), want)
				}
				if want := version == "0.1.0"; got.Corrected != want {
					t.Errorf("corrected: %v, want %v", got.Corrected, want)
				}
				m, err := tree.Names.Manifest(t.Context(), got.Descriptor.Digest)
				data := m.Content
				if err != nil || digest.FromBytes(data) != got.Descriptor.Digest || int64(len(data)) != got.Descriptor.Size {
					t.Errorf("manifest %s (%v) is not %+v", data, err, got.Descriptor)
				}
				if !got.Schema1() {
					checkLayers(t, tree, image, data)
				}
			})
		}
	}
}

// checkLayers reads every blob of a manifest and compares digest and size.
func checkLayers(t *testing.T, tree *Tree, image oldtree.Image, manifest []byte) {
	t.Helper()
	ctx := context.Background()
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil || len(m.Layers) != len(image.Layers) {
		t.Fatalf("manifest %s: %v", manifest, err)
	}
	for _, desc := range append(m.Layers, m.Config) {
		b, err := tree.Locate(ctx, desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		f, err := ipfs.OpenFile(ctx, tree.g, b.CID, 0)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = f
		if b.Inflate {
			r = NewInflated(f, desc.Digest, b.Size)
			if desc.MediaType != dockerLayerTar {
				t.Errorf("inflated layer has media type %s", desc.MediaType)
			}
		}
		data, err := io.ReadAll(r)
		if err != nil || digest.FromBytes(data) != desc.Digest || int64(len(data)) != desc.Size {
			t.Errorf("%+v: %d bytes, %s (%v)", desc, len(data), digest.FromBytes(data), err)
		}
		if path.Base(b.Path) != desc.Digest.String() {
			t.Errorf("path %s of %s", b.Path, desc.Digest)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The corrected manifest's digest is what users pin: it must never change.
func TestCorrectedManifestIsStable(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",` +
		`"config":{"size":7,"digest":"sha256:c"},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":9,"digest":"sha256:a"},` +
		`{"digest":"sha256:b","size":5000000000,"mediaType":"x"}]}`)
	got, err := withInflated(manifest, map[digest.Digest]int64{"sha256:a": 5 << 30})
	const want = `{"config":{"size":7,"digest":"sha256:c"},"layers":[{"digest":"sha256:a","mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":5368709120},` +
		`{"digest":"sha256:b","mediaType":"x","size":5000000000}],"mediaType":"application/vnd.docker.distribution.manifest.v2+json","schemaVersion":2}`
	if err != nil || string(got) != want {
		t.Errorf("%s (%v), want\n%s", got, err, want)
	}
}

// A manifest must be answered at once, however large the layers are.
func TestOpenReadsFewBlocks(t *testing.T) {
	for _, megabytes := range []int{1, 10} {
		blocks := testlayout.NewBlocks()
		root := oldtree.Add(t, blocks, oldtree.Files(t, "0.1.0", "app", oldtree.NewImage(t, "old", megabytes<<20)))
		before := blocks.Gets()
		if _, err := Open(context.Background(), blocks, root, Size(blocks)); err != nil {
			t.Fatal(err)
		}
		if n := blocks.Gets() - before; n > 30 {
			t.Errorf("%d MiB: %d blocks read", megabytes, n)
		}
	}
}

// Other directories of IPFS must not be taken for trees, nor cost much.
func TestWhatIsNoTree(t *testing.T) {
	many := map[string][]byte{}
	for i := range 500 {
		many[path.Join("site", string(rune('a'+i%16)), strings.Repeat("x", i), "index.html")] = []byte("hello")
	}
	for name, files := range map[string]map[string][]byte{
		"website":      many,
		"no manifests": {"app/blobs/sha256:00": []byte("x")},
		"at the root":  {"manifests/latest": []byte("{}"), "blobs/x": []byte("x")},
		"no manifest":  {"app/manifests/latest": []byte("hello"), "app/blobs/x": []byte("x")},
		"no tag":       {"app/manifests/.x": []byte(`{"schemaVersion":2,"layers":[]}`), "app/blobs/x": []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			root := oldtree.Add(t, blocks, files)
			_, err := Open(context.Background(), blocks, root, Size(blocks))
			if !errors.Is(err, ipfs.ErrNotFound) {
				t.Errorf("error %v, want ErrNotFound", err)
			}
			if blocks.Gets() > 2*maxDirs {
				t.Errorf("%d blocks read", blocks.Gets())
			}
		})
	}
}

// Who asks for a directory that leads to millions of shards and to no name must
// not get the server to load them: that was gigabytes for one request.
func TestShardsWithoutEnd(t *testing.T) {
	blocks := testlayout.NewBlocks()
	bomb := testlayout.ShardBomb(t, blocks, 5)
	empty := testlayout.Dir(t, blocks, nil)
	dir := func(name string, c cid.Cid) cid.Cid { return testlayout.Dir(t, blocks, map[string]cid.Cid{name: c}) }
	for name, root := range map[string]cid.Cid{
		"root": bomb, "name": dir("app", bomb),
		"manifests": dir("app", testlayout.Dir(t, blocks, map[string]cid.Cid{"manifests": bomb, "blobs": empty})),
	} {
		before := blocks.Gets()
		if _, err := Open(t.Context(), blocks, root, Size(blocks)); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
		if n := blocks.Gets() - before; n > 600 {
			t.Errorf("%s: %d blocks read", name, n)
		}
	}
}

// The directories of blobs are held in memory as long as the tree is, so they
// count, and too much of them is no tree.
func TestCostOfDirectories(t *testing.T) {
	files := oldtree.Files(t, "0.0.4", "app", oldtree.NewImage(t, "old"))
	small, _ := open(t, files)
	for i := range 1000 {
		files[fmt.Sprintf("app/blobs/sha256:%064x", i)] = nil
	}
	large, _ := open(t, files)
	if more := large.Cost() - small.Cost(); more < 1000*200 {
		t.Errorf("1000 blobs cost %d bytes", more)
	}
	for i := range 20_000 {
		files[fmt.Sprintf("app/blobs/sha256:%064x", i)] = nil
	}
	blocks := testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, files)
	if _, err := Open(t.Context(), blocks, root, Size(blocks)); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("21,000 blobs: %v", err)
	}
}

// What is broken must be an error or missing, never served as something else.
func TestBrokenTrees(t *testing.T) {
	image := oldtree.NewImage(t, "old", 1000)
	good := oldtree.Files(t, "0.1.0", "app", image)
	config := "app/blobs/" + digest.FromBytes(image.Config).String()
	layer := "app/blobs/" + digest.FromBytes(image.Layers[0]).String()
	change := func(name string, data []byte) map[string][]byte {
		files := maps.Clone(good)
		if files[name] = data; data == nil {
			delete(files, name)
		}
		return files
	}
	for name, files := range map[string]map[string][]byte{
		"no config":        change(config, nil),
		"config no JSON":   change(config, []byte("x")),
		"layer missing":    change(layer, nil),
		"layer not gzip":   change(layer, image.Layers[0]),
		"layer of 2 bytes": change(layer, []byte("\x1f\x8b")),
	} {
		t.Run(name, func(t *testing.T) {
			tree, _ := open(t, files)
			b, err := tree.Locate(context.Background(), digest.FromBytes(image.Layers[0]))
			if b.Inflate {
				t.Errorf("is to be inflated: %+v %v", b, err)
			}
		})
	}
	for name, data := range map[string][]byte{
		"gzip cut short":  oldtree.Gzip(t, image.Layers[0])[:30],
		"gzip is garbage": []byte("\x1f\x8b\x08 and then nothing that anybody could inflate"),
	} {
		t.Run(name, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			root := oldtree.Add(t, blocks, change(layer, data))
			if _, err := Open(context.Background(), blocks, root, Size(blocks)); err == nil {
				t.Error("opened")
			}
		})
	}
}

// A tag has one meaning: -v2 before what stands for older clients.
func TestTags(t *testing.T) {
	image := oldtree.NewImage(t, "old")
	files := oldtree.Files(t, "0.0.4", "app", image)
	files["app/manifests/1.0-v2"] = files["app/manifests/latest-v2"]
	files["app/manifests/only-v1"] = files["app/manifests/latest-v1"]
	tree, _ := open(t, files)
	var names []string
	for _, i := range tree.Stored {
		names = append(names, i.Name+" "+i.Descriptor.MediaType)
	}
	want := []string{
		"app:1.0 " + oci.MediaTypeDockerManifest, "app:latest " + oci.MediaTypeDockerManifest, "app:only " + oci.MediaTypeDockerSchema1,
	}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}
