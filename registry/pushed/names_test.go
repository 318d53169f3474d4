package pushed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// published publishes a layout of images of one layer each, by name, all of them
// signed: by subject, and by cosign's tag.
func (b *bench) published(layers map[string]string) (root cid.Cid, images map[string]ocispec.Descriptor) {
	b.Helper()
	dir, images := b.TempDir(), map[string]ocispec.Descriptor{}
	var entries []ocispec.Descriptor
	add := func(name string, m ocispec.Manifest, blobs ...string) ocispec.Descriptor {
		m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
		for i, text := range blobs {
			write(b.T, dir, oci.BlobPath(digest.FromString(text)), []byte(text))
			desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(text), Size: int64(len(text))}
			if i == 0 {
				desc.MediaType = ocispec.MediaTypeImageConfig
				m.Config = desc
				continue
			}
			m.Layers = append(m.Layers, desc)
		}
		p := manifest(b.T, m.MediaType, m)
		write(b.T, dir, oci.BlobPath(p.Descriptor.Digest), p.Content)
		entry := p.Descriptor
		if name != "" {
			entry = oci.Named(entry, name)
		}
		entries = append(entries, entry)
		return p.Descriptor
	}
	for name, layer := range layers {
		image := add(name, ocispec.Manifest{}, config, layer)
		images[name] = image
		add("", ocispec.Manifest{ArtifactType: "application/vnd.example.signature", Subject: &image}, config, "signature of "+name)
		repository, _, _ := ref.CutTag(name)
		add(repository+":"+oci.ReferrerTagOf(image.Digest, oci.SuffixSignature), ocispec.Manifest{}, config, "cosign's of "+name)
	}
	index, err := json.Marshal(oci.NewIndex(entries))
	if err != nil {
		b.Fatal(err)
	}
	write(b.T, dir, ocispec.ImageLayoutFile, oci.LayoutFile)
	write(b.T, dir, ocispec.ImageIndexFile, index)
	a, err := archive.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	r, err := publish.Publish(b.Context(), a, b.store, publish.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return r.Root, images
}

func (b *bench) name(root cid.Cid, by, name string, image ocispec.Descriptor, named string) (left []pushed.Name) {
	b.Helper()
	repository, tag, _ := ref.CutTag(name)
	left, err := b.SetNames(b.Context(), root, by, pushed.Name{Repository: repository, Tag: tag, Image: image, Named: named})
	if err != nil {
		b.Fatal(err)
	}
	return left
}

// What was published is pulled by its local name, with all that belongs to it and
// nothing else of its archive, and what a client pushed is not taken away by the names
// that an archive brings along.
func TestSetNames(t *testing.T) {
	b := newBench(t)
	root, images := b.published(map[string]string{"app:1": "one", "app:2": "two", "tool:1": "three"})
	if left := b.name(root, pushed.ByPublish, "app:1", images["app:1"], "app:1"); len(left) > 0 {
		t.Errorf("a free name was left: %v", left)
	}
	repo := b.Repository("app")
	d := images["app:1"].Digest
	if desc, err := repo.Resolve(t.Context(), ref.Name{Tag: "1"}); err != nil || desc.Digest != d {
		t.Errorf("app:1 is %v, %v", desc, err)
	}
	for _, text := range []string{config, "one", "signature of app:1", "cosign's of app:1"} {
		if _, err := repo.Locate(t.Context(), digest.FromString(text)); err != nil {
			t.Errorf("blob %q: %v", text, err)
		}
	}
	if _, err := repo.Locate(t.Context(), digest.FromString("three")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a blob of another image: %v", err)
	}
	if found, err := repo.Referrers(t.Context(), d); err != nil || len(found) != 1 {
		t.Errorf("referrers %v, %v", found, err)
	}
	tags, err := repo.Tags(t.Context(), "")
	if want := []string{"1", oci.ReferrerTagOf(d, oci.SuffixSignature)}; err != nil || !slices.Equal(tags, want) {
		t.Errorf("tags %q, %v, want %q", tags, err, want)
	}
	if name, err := b.Root(t.Context(), "app", "1"); err != nil || !name.Root.Equals(root) {
		t.Errorf("its root is %v, %v, want %s", name, err, root)
	}
	testNoNames(t, b, root, images["app:1"])
}

// A name is taken away by those alone who may.
func TestWhoSetsNames(t *testing.T) {
	b := newBench(t)
	root, images := b.published(map[string]string{"app:1": "one", "app:2": "two"})
	repo := b.Repository("app")
	image := b.image("app", "pushed")
	was := b.put("app", "1", image)["1"]
	left := b.name(root, pushed.ByPublish, "app:1", images["app:1"], "app:1")
	if desc, err := repo.Resolve(t.Context(), ref.Name{Tag: "1"}); len(left) != 1 || err != nil || desc.Digest != image.Descriptor.Digest {
		t.Errorf("publishing over what was pushed: %v left, %v, %v", left, desc, err)
	}
	b.name(root, pushed.ByTag, "app:1", images["app:2"], "app:2")
	if desc, err := repo.Resolve(t.Context(), ref.Name{Tag: "1"}); err != nil || desc.Digest != images["app:2"].Digest {
		t.Errorf("tagged it is %v, %v", desc, err)
	}
	history, err := b.History(t.Context(), "app", "1")
	if err != nil || len(history) != 2 || history[0].By != pushed.ByTag || !history[0].Current || !history[1].Root.Equals(was) || history[1].By != pushed.ByPush {
		t.Errorf("history %+v, %v", history, err)
	}
	if name, err := b.Root(t.Context(), "app", "1"); err != nil || name.Tag != "2" {
		t.Errorf("in its root app:1 is called %v, %v", name, err)
	}
	if stats := b.gc(); stats.RemovedBlocks > 0 {
		t.Errorf("gc has removed %d blocks, and all are needed", stats.RemovedBlocks)
	}
}

func testNoNames(t *testing.T, b *bench, root cid.Cid, image ocispec.Descriptor) {
	t.Helper()
	for _, bad := range []pushed.Name{
		{Repository: ref.Ciq(root), Tag: "1"}, {Repository: "App", Tag: "1"}, {Repository: "app", Tag: ".1"},
		{Repository: "app", Tag: oci.ReferrerTagOf(image.Digest, "")},
	} {
		bad.Image = image
		if _, err := b.SetNames(t.Context(), root, pushed.ByTag, bad); err == nil {
			t.Errorf("%s was taken as a local name", bad)
		}
	}
	if _, err := b.SetNames(t.Context(), d2c(t, b), pushed.ByTag, pushed.Name{Repository: "app", Tag: "x", Image: image}); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a root that is not published: %v", err)
	}
}

// d2c is the CID of something that is not published.
func d2c(t *testing.T, b *bench) cid.Cid {
	place, err := b.Repository("app").Locate(t.Context(), digest.FromString("one"))
	if err != nil {
		t.Fatal(err)
	}
	return place.CID
}

// Two names of one image are one CID, also when somebody signs it through either.
func TestAliasesShareTheRoot(t *testing.T) {
	b := newBench(t)
	image := b.image("app", "layer")
	root := b.put("app", "1", image)["1"]
	b.name(root, pushed.ByTag, "app:stable", image.Descriptor, "app:1")
	signed := b.put("app", "", b.signature("app", "signature", image))
	if len(signed) != 2 || !signed["1"].Equals(signed["stable"]) || signed["1"].Equals(root) {
		t.Errorf("signed they are %v", signed)
	}
	b.put("app", "1", b.image("app", "another"))
	if name, err := b.Root(t.Context(), "app", "stable"); err != nil || !name.Root.Equals(signed["stable"]) {
		t.Errorf("stable is %v, %v after app:1 has moved", name, err)
	}
}

// counting is a store that counts transactions, and what it is asked of contents.
type counting struct {
	ipfs.Recorder
	begun, blocks int
}

func (c *counting) BeginRecords(ctx context.Context) (ipfs.RecordTx, error) {
	c.begun++
	return c.Recorder.BeginRecords(ctx)
}

func (c *counting) Get(ctx context.Context, of cid.Cid) ([]byte, error) {
	c.blocks++
	return c.Recorder.Get(ctx, of)
}

// An archive of many repositories gets its names at one stroke, up to a bound, so that the
// hundredth costs what the second does, and what is cut off leaves few half-done.
func TestManyNames(t *testing.T) {
	b := newBench(t)
	layers := map[string]string{}
	for i := range 12 {
		layers[fmt.Sprintf("app%02d:1", i)] = fmt.Sprint("layer ", i)
	}
	root, images := b.published(layers)
	var names []pushed.Name
	for _, name := range slices.Sorted(maps.Keys(images)) {
		repository, tag, _ := ref.CutTag(name)
		names = append(names, pushed.Name{Repository: repository, Tag: tag, Image: images[name], Named: name}, pushed.Name{Repository: repository, Tag: "latest", Image: images[name], Named: name})
	}
	set := func(names ...pushed.Name) *counting {
		t.Helper()
		store := &counting{Recorder: b.store}
		if left, err := pushed.New(store, pushed.Options{}).SetNames(t.Context(), root, pushed.ByPublish, names...); err != nil || len(left) > 0 {
			t.Fatal(left, err)
		}
		return store
	}
	first := set(names[0])
	others := set(names[1:]...)
	if others.begun != 1 {
		t.Errorf("%d names took %d commits", len(names)-1, others.begun)
	}
	if most := first.blocks + 11*40; others.blocks > most { // what each image has of its own
		t.Errorf("the first of %d images took %d blocks, the others %d, want at most %d: the root is read again for each", len(images), first.blocks, others.blocks, most)
	}
	for _, n := range names {
		if name, err := b.Root(t.Context(), n.Repository, n.Tag); err != nil || !name.Root.Equals(root) {
			t.Errorf("%s is %v, %v", n, name, err)
		}
	}
	if again := set(names...); again.begun != 1 || again.blocks > first.blocks {
		t.Errorf("set already, they take %d commits and %d blocks", again.begun, again.blocks)
	}
	roots, err := b.store.Roots(t.Context())
	for _, r := range roots {
		if r.CID.Equals(root) && len(r.Names) < len(names) {
			t.Errorf("the root has the names %q", r.Names)
		}
	}
	if err != nil {
		t.Error(err)
	}
	bad := []pushed.Name{{Repository: "before", Tag: "1", Image: names[0].Image}, {Repository: "bad", Tag: ".1", Image: names[0].Image}}
	if _, err := b.SetNames(t.Context(), root, pushed.ByTag, bad...); err == nil {
		t.Error("a name that is none was taken")
	}
	if _, err := b.Root(t.Context(), "before", "1"); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a name beside one that is none is set: %v", err)
	}
}
