package layout_test

import (
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

func inspected(t *testing.T, blocks *testlayout.Blocks, l *testlayout.Layout, top ...ocispec.Descriptor) *layout.Inspection {
	t.Helper()
	opened, err := layout.Open(t.Context(), blocks, l.Publish(top...))
	if err != nil {
		t.Fatal(err)
	}
	i, err := opened.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Who asks for what a manifest runs on is told, whoever says so: the descriptor,
// and where it is silent, the config.
func TestInspectPlatform(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	silent := l.Image("arm64", []byte("layer"))
	silent.Platform = nil
	spoken := l.Image("amd64", []byte("layer"))
	spoken.Platform = &ocispec.Platform{OS: "linux", Architecture: "riscv64"}
	chart := l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    l.Blob("application/vnd.cncf.helm.config.v1+json", []byte(`{"os":"linux","architecture":"amd64"}`)),
		Layers:    []ocispec.Descriptor{},
	})
	i := inspected(t, blocks, l, l.Index(silent, spoken), chart)
	if len(i.Images) != 2 || len(i.Images[0].Manifests) != 2 || len(i.Images[1].Manifests) != 1 {
		t.Fatalf("images %+v", i.Images)
	}
	var got []string
	for _, image := range i.Images {
		for _, m := range image.Manifests {
			got = append(got, m.Platform)
		}
	}
	if want := []string{"linux/arm64", "linux/riscv64", ""}; !slices.Equal(got, want) {
		t.Errorf("platforms %q, want %q", got, want)
	}
}

// An index may list a manifest without its media type: its content tells that, and what
// belongs to it is shown as its own.
func TestInspectWithoutMediaType(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("arm64", []byte("layer"))
	want := image.MediaType
	image.MediaType, image.Platform = "", nil
	i := inspected(t, blocks, l, image)
	if len(i.Images) != 1 || i.Images[0].Descriptor.MediaType != want || len(i.Images[0].Manifests) != 1 || len(i.Images[0].Others) != 0 {
		t.Fatalf("images %+v", i.Images)
	}
	if got := i.Images[0].Manifests[0].Platform; got != "linux/arm64" {
		t.Errorf("platform %q", got)
	}
}

// The size is what the layout takes: blobs that images share count once, and
// those that belong to no image count too.
func TestInspectSize(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	one, two := l.Image("amd64", []byte("shared"), []byte("one")), l.Image("arm64", []byte("shared"))
	foreign := l.Blob("application/xml", []byte("<lost/>"))
	i := inspected(t, blocks, l, one, two, foreign)
	if len(i.Images) != 2 {
		t.Fatalf("images %+v", i.Images)
	}
	want := int64(len("shared")+len("one")) + foreign.Size
	for _, image := range i.Images {
		want += image.Descriptor.Size + image.Manifests[0].Config.Size
	}
	if i.Size != want {
		t.Errorf("size %d, want %d", i.Size, want)
	}
}
