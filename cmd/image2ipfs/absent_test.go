package main

import (
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// foreign is an image whose first layer is distributed elsewhere.
func foreign(names []string) []entry {
	l := ociLayout{}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: l.blob(ocispec.MediaTypeImageConfig, marshal(anImage.config)),
		Layers: []ocispec.Descriptor{
			{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: digest.FromString("elsewhere"), Size: 9, URLs: []string{"https://layers.example/base"}},
			l.blob(ocispec.MediaTypeImageLayerGzip, gzipped(layers["app"])),
		},
	}
	return l.entries(named(l.top(m), names)...)
}

// artifact is a manifest with nothing to run.
func artifact(names []string) []entry {
	l := ociLayout{}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.chart",
		Config: l.blob(ocispec.MediaTypeEmptyJSON, []byte("{}")),
		Layers: []ocispec.Descriptor{l.blob("application/vnd.example.chart.content", []byte("chart"))},
	}
	return l.entries(named(l.top(m), names)...)
}

// top adds a manifest for this machine's platform, as engines ask for it.
func (l ociLayout) top(m ocispec.Manifest) ocispec.Descriptor {
	desc := l.blob(m.MediaType, marshal(m))
	desc.Platform = &anImage.config.Platform
	return desc
}

// cacheIndex is the cache that BuildKit exports with image-manifest=false.
func cacheIndex(names []string) []entry {
	l := ociLayout{}
	config := l.blob(oci.MediaTypeBuildCache, []byte(`{"layers":[],"records":[]}`))
	index := oci.NewIndex([]ocispec.Descriptor{l.blob(ocispec.MediaTypeImageLayerGzip, gzipped(layers["app"])), config})
	return l.entries(named(l.blob(index.MediaType, marshal(index)), names)...)
}

// cacheManifest is the same cache with image-manifest=true.
func cacheManifest(names []string) []entry {
	l := ociLayout{}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: l.blob(oci.MediaTypeBuildCache, []byte(`{"layers":[],"records":[]}`)),
		Layers: []ocispec.Descriptor{l.blob(ocispec.MediaTypeImageLayerGzip, gzipped(layers["app"]))},
	}
	return l.entries(named(l.blob(m.MediaType, marshal(m)), names)...)
}
