package pushed_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
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
