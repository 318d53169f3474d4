// Package registrytest is the suite of questions that whoever answers what a name
// means must answer alike: each [registry.Reader], and the server, the resolver
// and the pulls that stand on one.
package registrytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Answer tells which manifest a name means, whose layout is in blocks. Errors
// match those of package oci.
type Answer func(t *testing.T, blocks *testlayout.Blocks, name ref.Name) (digest.Digest, error)

// ask is one question about a layout, and the right answer.
type ask struct {
	rest string        // of the name, behind the root
	want digest.Digest // empty for an error
	err  error
	says []string // what the error names
}

// scene is a layout and what is asked of it.
type scene struct {
	name string
	make func(l *testlayout.Layout) (top []ocispec.Descriptor, asked []ask)
}

// Questions asks everything.
func Questions(t *testing.T, answer Answer) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			l := testlayout.New(t, blocks)
			top, asked := s.make(l)
			root := l.Publish(top...)
			for _, q := range asked {
				t.Run(strings.Trim("name "+q.rest, "/"), func(t *testing.T) { q.ask(t, answer, blocks, root) })
			}
		})
	}
}

func (q ask) ask(t *testing.T, answer Answer, blocks *testlayout.Blocks, root cid.Cid) {
	name, err := ref.ParseName(ref.Ciq(root) + q.rest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := answer(t, blocks, name)
	switch {
	case q.err == nil && err != nil:
		t.Fatalf("%v, want %s", err, q.want)
	case q.err == nil && got != q.want:
		t.Fatalf("%s, want %s", got, q.want)
	case q.err != nil && !errors.Is(err, q.err):
		t.Fatalf("%s (%v), want an error like %q", got, err, q.err)
	}
	for _, text := range q.says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func scenes() []scene {
	return []scene{
		{"another image lacks a layer", lacking},
		{"another index is no JSON", noJSON},
		{"an index of schemaVersion 1", oldSchema},
		{"a manifest that no index lists", unlisted},
		{"two images", two},
		{"one image", one},
		{"an image nested too deep", deep},
		{"an image beside one nested too deep", besideDeep},
		{"one name twice", twice},
		{"children and referrers are listed", listed},
		{"what cosign saves", cosign},
		{"entries that are no manifests", foreign},
		{"BuildKit's cache alone", cacheAlone},
		{"names by digest alone", byDigest},
		{"manifests without a media type", untyped},
		{"descriptors that say otherwise", otherwise},
		{"an image that an index lists and the layout lacks", sparse},
	}
}

func lacking(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	good, child, bad := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("three")), l.Image("amd64", []byte("two"))
	index := l.Index(child)
	l.Without(digest.FromBytes([]byte("two")))
	return []ocispec.Descriptor{oci.Named(bad, "other:1"), oci.Named(good, "app:1"), oci.Named(index, "many:1")}, []ask{
		{rest: "/app:1", want: good.Digest},
		{rest: "/app@" + good.Digest.String(), want: good.Digest},
		{rest: "/many@" + child.Digest.String(), want: child.Digest},
		{rest: "/app:1@" + good.Digest.String(), want: good.Digest},
	}
}

func noJSON(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	good, child := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	index := l.Index(child)
	broken := l.Blob(ocispec.MediaTypeImageIndex, []byte(`this is no JSON`))
	return []ocispec.Descriptor{oci.Named(broken, "broken:1"), oci.Named(index, "app:1"), oci.Named(good, "good:1")}, []ask{
		{rest: "/app@" + child.Digest.String(), want: child.Digest},
		{rest: "/good:1", want: good.Digest},
		{rest: "/app:1", want: index.Digest},
	}
}

func oldSchema(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	child := l.Image("arm64", []byte("two"))
	strange := oci.NewIndex([]ocispec.Descriptor{child})
	strange.SchemaVersion = 1
	index := l.JSON(ocispec.MediaTypeImageIndex, strange)
	return []ocispec.Descriptor{oci.Named(index, "app:1")}, []ask{
		{rest: "/app:1", want: index.Digest},
		{rest: "/app@" + child.Digest.String(), want: child.Digest},
	}
}

func unlisted(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	good, other := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	layer := digest.FromBytes([]byte("one"))
	return []ocispec.Descriptor{oci.Named(good, "app:1")}, []ask{
		{rest: "/app@" + other.Digest.String(), want: other.Digest},
		{rest: "/app@" + layer.String(), err: oci.ErrManifestUnknown, says: []string{layer.String()}},
		{rest: "/app@" + digest.FromString("absent").String(), err: oci.ErrManifestUnknown},
	}
}

func two(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	one, other := l.Image("amd64", []byte("one")), l.Image("amd64", []byte("two"))
	both := []string{"app:1", "web:2"}
	return []ocispec.Descriptor{oci.Named(one, "app:1"), oci.Named(other, "web:2")}, []ask{
		{rest: "", err: oci.ErrNameUnknown, says: both},
		{rest: "/nope", err: oci.ErrNameUnknown, says: both},
		{rest: "/app:9", err: oci.ErrManifestUnknown, says: both},
		{rest: "/app", want: one.Digest}, // its only tag
		{rest: "/web@" + one.Digest.String(), want: one.Digest},
		{rest: "/web:2@" + one.Digest.String(), err: oci.ErrManifestUnknown, says: []string{one.Digest.String(), other.Digest.String()}},
	}
}

func one(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	image := l.Image("amd64", []byte("one"))
	hex := image.Digest.Encoded()
	return []ocispec.Descriptor{oci.Named(image, "app:1")}, []ask{
		{rest: "", want: image.Digest},
		{rest: "/nope", want: image.Digest},
		{rest: "/app:9", want: image.Digest},
		{rest: "/app:sha256-" + hex + ".sig", err: oci.ErrManifestUnknown},
		{rest: "/app:sha256-" + hex, err: oci.ErrManifestUnknown},
		{rest: "/app:9@" + digest.FromString("another").String(), err: oci.ErrManifestUnknown, says: []string{image.Digest.String(), digest.FromString("another").String()}},
	}
}

// nest puts a manifest so many indices deep.
func nest(l *testlayout.Layout, desc ocispec.Descriptor, levels int) ocispec.Descriptor {
	for range levels {
		desc = l.Index(desc)
	}
	return desc
}

func deep(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	leaf := l.Image("amd64", []byte("deep"))
	top := nest(l, leaf, oci.MaxDepth+1)
	return []ocispec.Descriptor{oci.Named(top, "app:1")}, []ask{
		{rest: "/app@" + leaf.Digest.String(), want: leaf.Digest},
	}
}

func besideDeep(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	good := l.Image("amd64", []byte("one"))
	top := nest(l, l.Image("amd64", []byte("deep")), oci.MaxDepth+2)
	return []ocispec.Descriptor{oci.Named(good, "good:1"), oci.Named(top, "deep:1")}, []ask{
		{rest: "/good:1", want: good.Digest},
		{rest: "/any", err: oci.ErrNameUnknown, says: []string{"good:1", "deep:1"}},
	}
}

func twice(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	first, second := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	first.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"}
	second.Annotations = first.Annotations
	return []ocispec.Descriptor{first, second}, []ask{
		{rest: "/image:v1", want: first.Digest},
		{rest: ":v1", want: first.Digest},
		{rest: "/image@" + second.Digest.String(), want: second.Digest},
	}
}

// referrer makes an artifact that refers to a subject.
func referrer(l *testlayout.Layout, subject ocispec.Descriptor) ocispec.Descriptor {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.sbom"}
	m.SchemaVersion = 2
	m.Config = l.Blob(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	m.Layers = []ocispec.Descriptor{l.Blob("application/json", []byte(`{"of":"`+subject.Digest.String()+`"}`))}
	m.Subject = &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	return l.JSON(ocispec.MediaTypeImageManifest, m)
}

func listed(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	amd, arm := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	index := l.Index(amd, arm)
	sbom := referrer(l, index)
	named := index
	named.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"}
	return []ocispec.Descriptor{amd, arm, named, sbom}, []ask{
		{rest: "", want: index.Digest},
		{rest: "/any:thing", want: index.Digest},
		{rest: "/any@" + arm.Digest.String(), want: arm.Digest},
		{rest: "/any@" + sbom.Digest.String(), want: sbom.Digest},
	}
}

func cosign(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	kind := func(desc ocispec.Descriptor, name string) ocispec.Descriptor {
		desc.Annotations = map[string]string{"kind": "dev.cosignproject.cosign/" + name}
		return desc
	}
	image, sigs, atts := l.Image("amd64", []byte("one")), l.Image("", []byte("signature")), l.Image("", []byte("attestation"))
	tag := ":sha256-" + image.Digest.Encoded()
	return []ocispec.Descriptor{kind(image, "image"), kind(sigs, "sigs"), kind(atts, "atts")}, []ask{
		{rest: "", want: image.Digest},
		{rest: "/app:1", want: image.Digest},
		{rest: "/app" + tag + ".sig", want: sigs.Digest},
		{rest: "/app" + tag + ".att", want: atts.Digest},
		{rest: "/app" + tag + ".sbom", err: oci.ErrManifestUnknown},
	}
}

func foreign(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	image := l.Image("amd64", []byte("one"))
	xml := l.Blob("application/xml", []byte("<stable/>"))
	cache := l.JSON(ocispec.MediaTypeImageIndex, oci.NewIndex([]ocispec.Descriptor{l.Blob(ocispec.MediaTypeImageLayerGzip, []byte("cached"))}))
	return []ocispec.Descriptor{xml, cache, oci.Named(image, "app:1")}, []ask{
		{rest: "", want: image.Digest},
		{rest: "/app@" + xml.Digest.String(), err: oci.ErrManifestUnknown},
		{rest: "/app@" + cache.Digest.String(), want: cache.Digest},
	}
}

func cacheAlone(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	cache := l.JSON(ocispec.MediaTypeImageIndex, oci.NewIndex([]ocispec.Descriptor{
		l.Blob(ocispec.MediaTypeImageLayerGzip, []byte("cached")), l.Blob("application/vnd.buildkit.cacheconfig.v0", []byte("{}")),
	}))
	return []ocispec.Descriptor{cache}, []ask{
		{rest: "", want: cache.Digest},
		{rest: "/cache:latest", want: cache.Digest},
	}
}

func byDigest(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	pause, app := l.Image("amd64", []byte("one")), l.Image("amd64", []byte("two"))
	app.Annotations = map[string]string{oci.AnnotationImageName: "quay.io/x/app@" + app.Digest.String(), ocispec.AnnotationRefName: "@" + app.Digest.String()}
	id := app
	id.Annotations = map[string]string{oci.AnnotationImageName: "sha256:1f1f1f1f1f1f", ocispec.AnnotationRefName: "sha256:1f1f1f1f1f1f"}
	return []ocispec.Descriptor{oci.Named(pause, "registry.k8s.io/pause:3.9"), app, id}, []ask{
		{rest: "/pause:3.9", want: pause.Digest},
		{rest: "/x/app", want: app.Digest},
		{rest: "/x/app@" + app.Digest.String(), want: app.Digest},
		{rest: "/sha256:1f1f1f1f1f1f", err: oci.ErrNameUnknown},
	}
}

func untyped(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	image := l.Image("amd64", []byte("one"))
	config := l.Blob(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux","config":{}}`))
	layer := l.Blob(ocispec.MediaTypeImageLayer, []byte("one"))
	asJSON := func(v map[string]any) ocispec.Descriptor { return l.JSON("", v) }
	manifest := asJSON(map[string]any{"schemaVersion": 2, "config": config, "layers": []ocispec.Descriptor{layer}})
	index := asJSON(map[string]any{"manifests": []ocispec.Descriptor{image}})
	both := asJSON(map[string]any{"config": config, "layers": []ocispec.Descriptor{layer}, "manifests": []ocispec.Descriptor{image}})
	neither := asJSON(map[string]any{"schemaVersion": 2})
	return []ocispec.Descriptor{oci.Named(image, "app:1"), oci.Named(manifest, "untyped:1")}, []ask{
		{rest: "/app@" + manifest.Digest.String(), want: manifest.Digest},
		{rest: "/untyped:1", want: manifest.Digest},
		{rest: "/app@" + index.Digest.String(), want: index.Digest},
		{rest: "/app@" + both.Digest.String(), err: oci.ErrManifestUnknown},
		{rest: "/app@" + neither.Digest.String(), err: oci.ErrManifestUnknown},
		{rest: "/app@" + config.Digest.String(), err: oci.ErrManifestUnknown},
	}
}

func otherwise(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	good, long := l.Image("amd64", []byte("one")), l.Image("amd64", []byte("two"))
	long.Size++
	index := l.Index(l.Image("arm64", []byte("three")))
	swapped := index
	swapped.MediaType = ocispec.MediaTypeImageManifest
	outer := l.Index(swapped)
	return []ocispec.Descriptor{oci.Named(good, "app:1"), oci.Named(long, "long:1"), oci.Named(outer, "outer:1")}, []ask{
		{rest: "/app:1", want: good.Digest},
		{rest: "/app@" + index.Digest.String(), want: index.Digest}, // the descriptor that is wrong was not read
		{rest: "/app@" + long.Digest.String(), err: oci.ErrManifestInvalid, says: []string{long.Digest.String()}},
	}
}

func sparse(l *testlayout.Layout) ([]ocispec.Descriptor, []ask) {
	here, gone := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	index := l.Index(here, gone)
	l.Without(gone.Digest)
	return []ocispec.Descriptor{oci.Named(index, "app:1")}, []ask{
		{rest: "/app:1", want: index.Digest},
		{rest: "/app@" + here.Digest.String(), want: here.Digest},
		{rest: "/app@" + gone.Digest.String(), err: oci.ErrManifestUnknown},
	}
}

// Open opens what is under a root whose blocks are given.
type Open func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) Reader

// Reader is what the suite asks of a [registry.Reader].
type Reader interface {
	registry.Reader
	registry.Lister
}

// Run asks a reader all questions, and what only a reader is asked: contents,
// referrers, images, tags, and each error by name.
func Run(t *testing.T, open Open) {
	t.Run("names", func(t *testing.T) {
		Questions(t, func(t *testing.T, blocks *testlayout.Blocks, name ref.Name) (digest.Digest, error) {
			desc, err := open(t, blocks, name.Root).Resolve(t.Context(), name)
			return desc.Digest, err
		})
	})
	t.Run("contents", func(t *testing.T) { contents(t, open) })
	t.Run("limits", func(t *testing.T) { limits(t, open) })
	t.Run("images", func(t *testing.T) { images(t, open) })
}

// RunOver is Run for layouts whose blocks come from elsewhere: over gives what
// serves those of a memory.
func RunOver(t *testing.T, over func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) ipfs.Getter) {
	Run(t, func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) Reader {
		l, err := layout.Open(t.Context(), ipfs.Verified(over(t, blocks, root)), root)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

// RunOverStore is RunOver for a store, into which the blocks are put.
func RunOverStore(t *testing.T, open func(t *testing.T) ipfs.Store) {
	store := open(t)
	RunOver(t, func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) ipfs.Getter {
		tx, err := store.Begin(t.Context())
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
		return store
	})
}

// Known asks a reader of one image, which cannot be made for the other questions,
// for what is in it: name is that of the image, and content one of its blobs.
func Known(t *testing.T, r Reader, name ref.Name, image ocispec.Descriptor, content []byte) {
	t.Helper()
	ctx := t.Context()
	for _, n := range []ref.Name{name, {}, {Repository: "any", Tag: "thing"}, {Repository: name.Repository, Digest: image.Digest}} {
		if desc, err := r.Resolve(ctx, n); err != nil || desc.Digest != image.Digest || desc.MediaType != image.MediaType || desc.Size != image.Size {
			t.Errorf("%+v is %+v (%v), want %+v", n, desc, err, image)
		}
	}
	for _, n := range []ref.Name{{Tag: "sha256-" + image.Digest.Encoded()}, {Digest: digest.FromString("absent")}} {
		if desc, err := r.Resolve(ctx, n); !errors.Is(err, oci.ErrManifestUnknown) {
			t.Errorf("%+v is %+v (%v)", n, desc, err)
		}
	}
	if m, err := r.Manifest(ctx, image.Digest); err != nil || digest.FromBytes(m.Content) != image.Digest {
		t.Errorf("manifest %q: %v", m.Content, err)
	}
	b, err := r.Blob(ctx, digest.FromBytes(content))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b); err != nil || got != string(content) {
		t.Errorf("a blob of %d bytes, want %d: %v", len(got), len(content), err)
	}
	if _, err := r.Blob(ctx, digest.FromString("absent")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}
	if all, err := r.Images(ctx); err != nil || len(all) != 1 || all[0].Descriptor.Digest != image.Digest {
		t.Errorf("images %+v, %v", all, err)
	}
	if tags, err := r.Tags(ctx, name.Repository); err != nil || len(tags) != 1 || tags[0] != name.Tag {
		t.Errorf("tags %q, %v", tags, err)
	}
	if found, err := r.Referrers(ctx, image.Digest); err != nil || len(found) != 0 {
		t.Errorf("referrers %+v, %v", found, err)
	}
}

func contents(t *testing.T, open Open) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("one"))
	sbom := referrer(l, image)
	lie := l.Blob(ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	l.Lie(lie.Digest, []byte(`{"schemaVersion":2,"config":{},"layers":[1]}`))
	r := open(t, blocks, l.Publish(oci.Named(image, "app:1"), sbom))
	ctx := t.Context()
	m, err := r.Manifest(ctx, image.Digest)
	if err != nil || digest.FromBytes(m.Content) != image.Digest || m.Descriptor.MediaType != image.MediaType || m.Descriptor.Size != image.Size {
		t.Errorf("manifest %+v: %v", m.Descriptor, err)
	}
	if _, err := r.Manifest(ctx, "sha256:nonsense"); !errors.Is(err, oci.ErrManifestUnknown) {
		t.Errorf("a digest that is none: %v", err)
	}
	if _, err := r.Manifest(ctx, lie.Digest); !errors.Is(err, oci.ErrCorrupt) {
		t.Errorf("a manifest with other bytes: %v", err)
	}
	layer := digest.FromBytes([]byte("one"))
	b, err := r.Blob(ctx, layer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b); err != nil || got != "one" || b.Size() != 3 {
		t.Errorf("blob %q of %d bytes: %v", got, b.Size(), err)
	}
	if _, err := r.Blob(ctx, digest.FromString("absent")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}
	for wanted, n := range map[string]int{"": 1, "application/vnd.example.sbom": 1, "application/other": 0} {
		var types []string
		if wanted != "" {
			types = []string{"application/vnd.example.another", wanted}
		}
		found, err := r.Referrers(ctx, image.Digest, types...)
		if err != nil || len(found) != n || n == 1 && found[0].Digest != sbom.Digest {
			t.Errorf("referrers of type %q: %+v, %v", wanted, found, err)
		}
	}
}

// limits: what is too deep, too many or too large is told by the limit's name,
// and by nothing else that is asked.
func limits(t *testing.T, open Open) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	top := nest(l, l.Image("amd64", []byte("deep")), oci.MaxDepth+1)
	large := l.Blob("", append([]byte(`{"manifests":[]`), make([]byte, oci.MaxManifestSize)...))
	r := open(t, blocks, l.Publish(oci.Named(top, "app:1")))
	desc, err := r.Resolve(t.Context(), ref.Name{Repository: "app", Tag: "1"})
	if err != nil || desc.Digest != top.Digest {
		t.Errorf("the tag of an image nested too deep: %s, %v", desc.Digest, err)
	}
	if _, err := r.Manifest(t.Context(), large.Digest); !errors.Is(err, oci.ErrManifestUnknown) {
		t.Errorf("a manifest of more than %d bytes: %v", oci.MaxManifestSize, err)
	}
	if w, ok := r.(whole); ok {
		if _, err := w.Reachable(t.Context(), desc); !errors.Is(err, oci.ErrLimit) || !strings.Contains(err.Error(), fmt.Sprint(oci.MaxDepth)) {
			t.Errorf("the whole of it: %v", err)
		}
	}
}

// whole is a reader that can tell all that an image needs.
type whole interface {
	Reachable(ctx context.Context, top ...ocispec.Descriptor) (*oci.Reachable, error)
}

func images(t *testing.T, open Open) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	amd, arm := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	index := l.Index(amd, arm)
	top := []ocispec.Descriptor{
		arm, oci.Named(index, "app:1"), oci.Named(index, "app:2"), oci.Named(amd, "amd:1"), referrer(l, index), l.Blob("application/xml", []byte("<x/>")),
	}
	r := open(t, blocks, l.Publish(top...))
	all, err := r.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, image := range all {
		got = append(got, fmt.Sprint(image.Descriptor.Digest, image.Names))
	}
	want := fmt.Sprint([]string{fmt.Sprint(index.Digest, []string{"app:1", "app:2"}), fmt.Sprint(amd.Digest, []string{"amd:1"})})
	if fmt.Sprint(got) != want {
		t.Errorf("images %v, want %v", got, want)
	}
	tags, err := r.Tags(t.Context(), "app")
	if asJSON, _ := json.Marshal(tags); err != nil || string(asJSON) != `["1","2"]` {
		t.Errorf("tags %s, %v", asJSON, err)
	}
	if tags, err := r.Tags(t.Context(), "nope"); !errors.Is(err, oci.ErrNameUnknown) {
		t.Errorf("tags of a repository that is not there: %v, %v", tags, err)
	}
}

func readAll(b registry.Blob) (string, error) {
	defer b.Close()
	data := make([]byte, b.Size())
	for n := 0; n < len(data); {
		m, err := b.Read(data[n:])
		if n += m; err != nil && n < len(data) {
			return "", err
		}
	}
	return string(data), nil
}
