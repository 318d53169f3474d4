package legacy

import (
	"bytes"
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

// failing lacks one block, for a reason.
type failing struct {
	ipfs.Getter
	without cid.Cid
	err     error
}

func (f failing) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Equals(f.without) {
		return nil, f.err
	}
	return f.Getter.Get(ctx, c)
}

// One source lacks a block and another does not answer: the tree may be there,
// and who asked is to come back. A block that nobody has now is no smaller tree.
func TestBlocksOutOfReach(t *testing.T) {
	files := oldtree.Files(t, "0.1.0", "app", oldtree.NewImage(t, "old"))
	files["zoo/manifests/latest"] = files["app/manifests/latest-v2"]
	files["zoo/blobs/x"] = nil
	_, blocks := open(t, files)
	root := oldtree.Add(t, blocks, files)
	for _, at := range []string{"app", "app/manifests", "app/blobs", "zoo"} {
		c := resolve(t, blocks, root, at)
		for _, reason := range []error{errors.Join(ipfs.ErrNotFound, ipfs.ErrUnavailable), ipfs.ErrNotFound} {
			g := failing{blocks, c, reason}
			tree, err := Open(t.Context(), g, root, Size(g))
			if !errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, ipfs.ErrUnavailable) != errors.Is(reason, ipfs.ErrUnavailable) {
				t.Errorf("without %s: opened %v, %v", at, tree != nil, err)
			}
		}
	}
}

// trail keeps the CID that was read last.
type trail struct {
	ipfs.Getter
	last cid.Cid
}

func (g *trail) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	g.last = c
	return g.Getter.Get(ctx, c)
}

// Without a part of the directory of blobs it is not known which blobs there are:
// an uncorrected manifest, or a 404 for a layer, would be wrong.
func TestShardOutOfReach(t *testing.T) {
	image := oldtree.NewImage(t, "old")
	files := oldtree.Files(t, "0.1.0", "app", image)
	config, layer := digest.FromBytes(image.Config), digest.FromBytes(image.Layers[0])
	_, blocks := open(t, files)
	root := oldtree.Add(t, blocks, files)
	entries := map[string]cid.Cid{}
	for d := range files {
		if name := path.Base(d); path.Dir(d) == "app/blobs" {
			entries[name] = resolve(t, blocks, root, d)
		}
	}
	for i := range 6000 { // so many that the directory is sharded
		entries[fmt.Sprintf("sha256:%064x", i)] = entries[layer.String()]
	}
	blobs := testlayout.Dir(t, blocks, entries)
	app := testlayout.Dir(t, blocks, map[string]cid.Cid{"manifests": resolve(t, blocks, root, "app/manifests"), "blobs": blobs})
	root = testlayout.Dir(t, blocks, map[string]cid.Cid{"app": app})
	if tree, err := Open(t.Context(), blocks, root, Size(blocks)); err != nil || !tree.Stored[0].Corrected {
		t.Fatalf("not corrected: %v", err)
	}
	for _, d := range []digest.Digest{config, layer} {
		g := &trail{Getter: blocks}
		resolve(t, g, blobs, d.String())
		away := failing{blocks, g.last, errors.Join(ipfs.ErrNotFound, ipfs.ErrUnavailable)}
		if g.last.Equals(blobs) {
			t.Fatal("the directory has one shard")
		}
		if tree, err := Open(t.Context(), away, root, Size(away)); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s out of reach: opened %v, %v", d, tree != nil, err)
		}
		dir, err := ipfs.OpenDir(t.Context(), away, blobs)
		if err != nil {
			t.Fatal(err)
		}
		tree := &Tree{Root: root, g: away, places: []place{{name: "app", blobs: dir}}}
		if b, err := tree.Locate(t.Context(), d); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s out of reach: %+v, %v", d, b, err)
		}
	}
}

func resolve(t *testing.T, g ipfs.Getter, root cid.Cid, at string) cid.Cid {
	t.Helper()
	c, err := ipfs.Resolve(t.Context(), g, root, at)
	if err != nil {
		t.Fatal(err)
	}
	return c
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
