package pushed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// bench is a registry in a store of its own.
type bench struct {
	*testing.T
	store *packstore.Store
	*pushed.Registry
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{t, s, pushed.New(s, pushed.Options{})}
}

func (b *bench) blob(repository, text string) ocispec.Descriptor {
	b.Helper()
	u := b.Begin(b.Context(), repository, digest.SHA256)
	d := digest.FromString(text)
	if _, err := u.Write([]byte(text)); err != nil {
		b.Fatal(err)
	}
	if err := u.Commit(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(text))}
}

const config = `{"architecture":"amd64","os":"linux"}`

// image makes the manifest of an image with layers, whose blobs it pushes.
func (b *bench) image(repository string, layers ...string) pushed.Manifest {
	b.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: b.blob(repository, config), Layers: []ocispec.Descriptor{}}
	m.SchemaVersion, m.Config.MediaType = 2, ocispec.MediaTypeImageConfig
	for _, l := range layers {
		m.Layers = append(m.Layers, b.blob(repository, l))
	}
	return manifest(b.T, m.MediaType, m)
}

// signature makes what refers to a manifest.
func (b *bench) signature(repository, text string, of pushed.Manifest) pushed.Manifest {
	b.Helper()
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.signature",
		Config: b.blob(repository, "{}"), Layers: []ocispec.Descriptor{b.blob(repository, text)}, Subject: &of.Descriptor,
	}
	m.SchemaVersion, m.Config.MediaType = 2, ocispec.MediaTypeEmptyJSON
	return manifest(b.T, m.MediaType, m)
}

func manifest(t *testing.T, mediaType string, v any) pushed.Manifest {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return pushed.Manifest{Descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}, Content: data}
}

// put pushes a manifest, by tag or "", and gives the roots that came of it by tag.
func (b *bench) put(repository, tag string, m pushed.Manifest) map[string]cid.Cid {
	b.Helper()
	if tag != "" {
		m.Tags = []string{tag}
	}
	r, err := b.PutManifest(b.Context(), repository, m)
	if err != nil {
		b.Fatal(err)
	}
	roots := map[string]cid.Cid{}
	for _, root := range r.Roots {
		roots[root.Tag] = root.CID
	}
	return roots
}

func (b *bench) gc() packstore.GCStats {
	b.Helper()
	stats, err := b.store.GC(b.Context(), packstore.GCOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return stats
}

// Whoever publishes an image that another pushes gives it the same name, so that both
// are one to everybody, however the layout's writer names images in index.json.
func TestSameRootAsPublished(t *testing.T) {
	b := newBench(t)
	m := b.image("team/app", "one", "two")
	root := b.put("team/app", "1", m)["1"]
	for name, entry := range map[string]ocispec.Descriptor{
		"skopeo":     {Annotations: map[string]string{ocispec.AnnotationRefName: "team/app:1"}},
		"containerd": {Annotations: map[string]string{oci.AnnotationImageName: "docker.io/team/app:1", ocispec.AnnotationRefName: "1"}},
		"BuildKit": {Annotations: map[string]string{
			oci.AnnotationImageName: "docker.io/team/app:1", ocispec.AnnotationRefName: "1", ocispec.AnnotationCreated: "2024-01-01T00:00:00Z",
		}},
	} {
		dir := t.TempDir()
		entry.MediaType, entry.Digest, entry.Size = m.Descriptor.MediaType, m.Descriptor.Digest, m.Descriptor.Size
		index, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{entry}))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, ocispec.ImageLayoutFile, oci.LayoutFile)
		write(t, dir, ocispec.ImageIndexFile, index)
		for _, data := range [][]byte{m.Content, []byte(config), []byte("one"), []byte("two")} {
			write(t, dir, oci.BlobPath(digest.FromBytes(data)), data)
		}
		a, err := archive.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := publish.Publish(t.Context(), a, newBench(t).store, publish.Options{})
		if err != nil || !r.Root.Equals(root) {
			t.Errorf("published from a layout as %s writes it: %v, %v, want %s", name, r, err, root)
		}
	}
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A root is a function of the image, what refers to it, and the name, in whatever order
// they came: who signs gives the image a new name, and the one of before stays.
func TestReferrersMakeRoots(t *testing.T) {
	b := newBench(t)
	image := b.image("app", "layer")
	first, second := b.signature("app", "first", image), b.signature("app", "second", image)
	plain := b.put("app", "1", image)["1"]
	if again := b.put("app", "1", image)["1"]; !again.Equals(plain) {
		t.Errorf("pushed again: %s, before %s", again, plain)
	}
	stable := b.put("app", "stable", image)["stable"]
	if stable.Equals(plain) {
		t.Error("two names, and one root")
	}
	signed := b.put("app", "", first)
	if len(signed) != 2 || signed["1"].Equals(plain) || signed["stable"].Equals(stable) {
		t.Errorf("signing an image of two tags gave %v", signed)
	}
	both := b.put("app", "", second)["1"]
	tag := "sha256-" + image.Descriptor.Digest.Encoded() + ".sig"
	tagged := b.put("app", tag, b.image("app", "a signature of cosign"))["1"]
	l, err := layout.Open(t.Context(), b.store, tagged)
	if err != nil {
		t.Fatal(err)
	}
	if desc, err := l.Resolve(t.Context(), ref.Name{Repository: "app", Tag: tag}); err != nil || desc.Digest == image.Descriptor.Digest {
		t.Errorf("cosign's tag in the root: %v, %v", desc, err)
	}
	if desc, err := l.Resolve(t.Context(), ref.Name{Repository: "app", Tag: "1"}); err != nil || desc.Digest != image.Descriptor.Digest {
		t.Errorf("the image in the root: %v, %v", desc, err)
	}
	if found, err := l.Referrers(t.Context(), image.Descriptor.Digest); err != nil || len(found) != 2 {
		t.Errorf("its referrers: %v, %v", found, err)
	}
	found, err := b.Repository("app").Referrers(t.Context(), image.Descriptor.Digest)
	if err != nil || len(found) != 2 || found[0].ArtifactType != "application/vnd.example.signature" || found[0].Digest > found[1].Digest {
		t.Errorf("referrers in the repository: %v, %v", found, err)
	}
	if name, err := b.Root(t.Context(), "app", "1"); err != nil || !name.Root.Equals(tagged) {
		t.Errorf("the tag is %v, %v, want %s", name, err, tagged)
	}
	if _, err := layout.Open(t.Context(), b.store, plain); err != nil {
		t.Errorf("the root from before the signatures: %v", err)
	}

	other := newBench(t) // signatures first, the last of them before the others
	image = other.image("app", "layer")
	other.put("app", "", other.signature("app", "second", image))
	other.put("app", "", other.signature("app", "first", image))
	if got := other.put("app", "1", image)["1"]; !got.Equals(both) {
		t.Errorf("signed before it was there, it is %s, want %s", got, both)
	}
	if got := other.put("app", tag, other.image("app", "a signature of cosign"))["1"]; !got.Equals(tagged) {
		t.Errorf("with the tag of cosign it is %s, want %s", got, tagged)
	}
}

// An index takes its images along, and may lack some of them, but not all.
func TestIndex(t *testing.T) {
	b := newBench(t)
	here, absent := b.image("app", "layer"), b.image("elsewhere", "other")
	index := manifest(t, ocispec.MediaTypeImageIndex, oci.NewIndex([]ocispec.Descriptor{here.Descriptor, absent.Descriptor}))
	index.Tags = []string{"1"}
	if _, err := b.PutManifest(t.Context(), "app", index); !errors.Is(err, pushed.ErrLacking) {
		t.Errorf("an index whose images are not here: %v, want ErrLacking", err)
	}
	b.put("app", "", here)
	root := b.put("app", "1", index)["1"]
	l, err := layout.Open(t.Context(), b.store, root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Manifest(t.Context(), here.Descriptor.Digest); err != nil {
		t.Errorf("its image: %v", err)
	}
}

// What a client was told to be here must stay for the manifest that it pushes next,
// and what nothing needs any more must make room.
func TestRemove(t *testing.T) {
	b := newBench(t)
	shared, only := strings.Repeat("shared", 100_000), strings.Repeat("only", 100_000)
	one, two := b.image("app", shared, only), b.image("app", shared)
	sig := b.signature("app", "signature", one)
	first := b.put("app", "1", one)["1"]
	signed := b.put("app", "", sig)["1"]
	b.put("app", "2", two)
	b.put("app", "", b.image("app", "untagged"))
	waiting := b.blob("app", "waiting for its manifest")
	if stats := b.gc(); stats.RemovedBlocks > 0 {
		t.Errorf("gc has removed %d blocks, and all are needed", stats.RemovedBlocks)
	}
	all := local.Stores{b.store}
	if err := all.Remove(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	repo := b.Repository("app")
	if _, err := repo.Manifest(t.Context(), one.Descriptor.Digest); err != nil {
		t.Errorf("the manifest of a tag whose earlier root was removed: %v", err)
	}
	if err := all.Remove(t.Context(), signed); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []digest.Digest{one.Descriptor.Digest, sig.Descriptor.Digest} {
		if _, err := repo.Manifest(t.Context(), gone); !errors.Is(err, oci.ErrManifestUnknown) {
			t.Errorf("manifest %s after rm: %v", gone, err)
		}
	}
	if _, err := repo.Locate(t.Context(), digest.FromString(only)); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a layer that nothing needs: %v", err)
	}
	if stats := b.gc(); stats.RemovedBytes < int64(len(only)) {
		t.Errorf("gc has removed %d bytes, of a layer of %d alone", stats.RemovedBytes, len(only))
	}
	for _, d := range []digest.Digest{digest.FromString(shared), digest.FromString("untagged"), digest.FromString(config), waiting.Digest} {
		blob, err := repo.Blob(t.Context(), d)
		if err != nil {
			t.Errorf("blob %s after rm and gc: %v", d, err)
			continue
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(blob); err != nil || digest.FromBytes(got.Bytes()) != d {
			t.Errorf("blob %s after rm and gc: %d bytes, %v", d, got.Len(), err)
		}
		if err := blob.Close(); err != nil {
			t.Error(err)
		}
	}
	if tags, err := repo.Tags(t.Context(), ""); err != nil || !slices.Equal(tags, []string{"2"}) {
		t.Errorf("tags after rm: %v, %v", tags, err)
	}
	if found, err := repo.Referrers(t.Context(), one.Descriptor.Digest); err != nil || len(found) > 0 {
		t.Errorf("referrers of what was removed: %v, %v", found, err)
	}
}

// Several who push one tag at once: one of them is it, wholly.
func TestConcurrentPushes(t *testing.T) {
	b := newBench(t)
	roots := make(chan cid.Cid, 8)
	for i := range 8 {
		m := b.image("app", strings.Repeat("x", i+1))
		m.Tags = []string{"1"}
		go func() {
			r, err := b.PutManifest(t.Context(), "app", m)
			if err != nil || len(r.Roots) != 1 {
				t.Errorf("%v, %v", r, err)
				roots <- cid.Undef
				return
			}
			roots <- r.Roots[0].CID
		}()
	}
	var all []cid.Cid
	for range 8 {
		all = append(all, <-roots)
	}
	name, err := b.Root(t.Context(), "app", "1")
	if err != nil || !slices.ContainsFunc(all, name.Root.Equals) {
		t.Errorf("%v, %v is none of %v", name, err, all)
	}
	if _, err := ipfs.Verify(t.Context(), b.store, name.Root, func(int) {}); err != nil {
		t.Error(err)
	}
}

// A blob that is not what its digest says is refused by name, and nothing of it stays.
func TestDigest(t *testing.T) {
	b := newBench(t)
	for _, d := range []digest.Digest{digest.FromString("another"), "sha256:short"} {
		u := b.Begin(t.Context(), "app", digest.SHA256)
		if _, err := u.Write([]byte("text")); err != nil {
			t.Fatal(err)
		}
		if err := u.Commit(t.Context(), d); !errors.Is(err, pushed.ErrDigest) || !errors.Is(err, oci.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrDigest", d, err)
		}
		if _, err := b.Repository("app").Blob(t.Context(), digest.FromString("text")); !errors.Is(err, oci.ErrNotFound) {
			t.Errorf("what came for %s: %v, want ErrNotFound", d, err)
		}
	}
}
