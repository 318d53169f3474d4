package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// put puts a content on IPFS as a file, and gives the descriptor by which nerdctl
// leads to it.
func put(t *testing.T, b *testlayout.Blocks, mediaType string, data []byte) ocispec.Descriptor {
	t.Helper()
	link, err := ipfs.AddFile(t.Context(), b, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), URLs: []string{"ipfs://" + link.CID.String()}}
}

func jsonOnIPFS(t *testing.T, b *testlayout.Blocks, mediaType string, v any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return put(t, b, mediaType, data)
}

// What nerdctl push ipfs:// left answers as every reader of one image does.
func TestIPFSReader(t *testing.T) {
	b := testlayout.NewBlocks()
	content := []byte("a layer")
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: put(t, b, ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux"}`)),
		Layers: []ocispec.Descriptor{put(t, b, ocispec.MediaTypeImageLayerGzip, content)},
	}
	image := jsonOnIPFS(t, b, m.MediaType, m)
	root, err := ref.ParseRoot(strings.TrimPrefix(jsonOnIPFS(t, b, "", image).URLs[0], ipfsScheme))
	if err != nil {
		t.Fatal(err)
	}
	registrytest.KnownReader(t, &scattered{blocks: b, root: root, at: map[digest.Digest]cid.Cid{}}, ref.Name{}, image, content)
}

// What nerdctl push ipfs:// left is published with the same digests, whole or for a
// platform, and anything else under a CID is told for what it is.
func TestFromIPFS(t *testing.T) {
	b := testlayout.NewBlocks()
	var manifests []ocispec.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		m := ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: put(t, b, ocispec.MediaTypeImageConfig, []byte(`{"architecture":"`+arch+`","os":"linux"}`)),
			Layers: []ocispec.Descriptor{put(t, b, ocispec.MediaTypeImageLayerGzip, bytes.Repeat([]byte(arch), 300_000))},
		}
		desc := jsonOnIPFS(t, b, m.MediaType, m)
		desc.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		manifests = append(manifests, desc)
	}
	index := jsonOnIPFS(t, b, ocispec.MediaTypeImageIndex, oci.NewIndex(manifests))
	root := jsonOnIPFS(t, b, "", index)
	o := Options{Blocks: func(context.Context) (ipfs.Getter, func() error, error) { return b, func() error { return nil }, nil }}
	spec, err := Parse(root.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, wanted := range [][]ocispec.Platform{nil, {*manifests[1].Platform}} {
		o.Platforms = wanted
		s, err := Open(t.Context(), spec, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Publish(t.Context(), newStore(t), publish.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := index
		if wanted != nil {
			want = manifests[1]
		}
		if d := got.Images[0].Manifest; d.Digest != want.Digest || len(got.Absent) > 0 || len(got.Layers) != len(got.Images[0].Platforms) {
			t.Errorf("%+v, want %s", got, want.Digest)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	o.Platforms = nil
	for _, other := range []ocispec.Descriptor{put(t, b, "", []byte("no descriptor")), jsonOnIPFS(t, b, "", ocispec.Descriptor{Digest: index.Digest})} {
		spec, err := Parse(other.URLs[0])
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), spec, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Publish(t.Context(), newStore(t), publish.Options{}); !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "nerdctl") {
			t.Errorf("%v", err)
		}
	}
}
