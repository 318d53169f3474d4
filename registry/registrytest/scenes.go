package registrytest

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// scenes are the layouts that everybody is asked about.
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
