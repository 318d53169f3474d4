package layout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// described makes a descriptor with a digest of its own for each content.
func described(content, imageName, refName string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(content), Size: 1, Annotations: map[string]string{}}
	if imageName != "" {
		d.Annotations[oci.AnnotationImageName] = imageName
	}
	if refName != "" {
		d.Annotations[ocispec.AnnotationRefName] = refName
	}
	return d
}

// nobody has the contents of any manifest: names alone must do.
type nobody struct{}

func (nobody) Small(_ context.Context, d digest.Digest) ([]byte, error) {
	return nil, fmt.Errorf("%w: %s", ipfs.ErrNoEntry, d)
}

func names(entries ...ocispec.Descriptor) *Names {
	return NewNames(cid.Undef, ocispec.Index{Manifests: entries}, nobody{})
}

// With one image any name pulls it; with several a wrong name is an error that says what there is.
func TestSelect(t *testing.T) {
	one := []ocispec.Descriptor{described("a", "docker.io/library/app:1", "1")}
	twoTags := append(slices.Clone(one), described("a", "docker.io/library/app:2", "2"))
	two := append(slices.Clone(one), described("b", "docker.io/library/app:2", "2"), described("c", "quay.io/org/tool:v1", "v1"))
	unnamed := []ocispec.Descriptor{described("a", "", ""), described("b", "", "")}
	tagged := []ocispec.Descriptor{described("a", "", "v1"), described("b", "", "v2")}
	artifact := described("s", "", "")
	artifact.ArtifactType = "application/example"
	signed := append(slices.Clone(one), described("f", "", "sha256-"+strings.Repeat("0", 64)))
	same := []ocispec.Descriptor{described("a", "a.io/app:1", ""), described("b", "b.io/app:1", "")}
	for _, test := range []struct {
		name            string
		index           []ocispec.Descriptor
		repository, tag string
		want            string // content, empty for an error
		err             error
		says            string
	}{
		{"one, exact", one, "app", "1", "a", nil, ""},
		{"one, library", one, "library/app", "1", "a", nil, ""},
		{"one, other tag", one, "app", "", "a", nil, ""},
		{"one, other name", one, "whatever/else", "7", "a", nil, ""},
		{"one, no name", one, "", "", "a", nil, ""},
		{"one digest, two tags", twoTags, "x", "y", "a", nil, ""},
		{"several, exact", two, "app", "2", "b", nil, ""},
		{"several, full name", two, "quay.io/org/tool", "v1", "c", nil, ""},
		{"several, only tag as latest", two, "org/tool", "latest", "c", nil, ""},
		{"several, only tag by default", two, "org/tool", "", "c", nil, ""},
		{"several, only tag is not any tag", two, "org/tool", "v2", "", oci.ErrManifestUnknown, "org/tool:v1"},
		{"several, two tags", two, "app", "latest", "", oci.ErrManifestUnknown, "app:1, app:2, org/tool:v1"},
		{"several, wrong name", two, "nginx", "1", "", oci.ErrNameUnknown, "app:1, app:2, org/tool:v1"},
		{"several, no name", two, "", "latest", "", oci.ErrNameUnknown, "app:1"},
		{"several, unique tag without a name", two, "", "v1", "c", nil, ""},
		{"unnamed", unnamed, "app", "1", "", oci.ErrNameUnknown, "@" + digest.FromString("b").String()},
		{"tags alone", tagged, "any", "v2", "b", nil, ""},
		{"tags alone, wrong", tagged, "any", "v3", "", oci.ErrNameUnknown, ":v1, :v2"},
		{"what refers by its tag is no image", signed, "any", "latest", "a", nil, ""},
		{"artifact by its tag", signed, "any", "sha256-" + strings.Repeat("0", 64), "f", nil, ""},
		{"a signature is not the image", one, "app", "sha256-" + strings.Repeat("0", 64) + ".sig", "", oci.ErrManifestUnknown, "app:1"},
		{"a referrer is not the image", one, "any", "sha256-" + strings.Repeat("0", 64), "", oci.ErrManifestUnknown, "app:1"},
		{"a referrer is not another", []ocispec.Descriptor{artifact}, "any", "sha512-" + strings.Repeat("0", 128), "", oci.ErrManifestUnknown, ""},
		{"artifact alone", []ocispec.Descriptor{artifact}, "any", "x", "s", nil, ""},
		{"equal names mean the first", same, "app", "1", "a", nil, ""},
		{"several, a tag of two without a name", append(slices.Clone(two), described("e", "quay.io/org/tool:2", "2")), "", "2", "", oci.ErrNameUnknown, "app:2"},
		{"several, latest without a repository", append(slices.Clone(two), described("e", "", "latest")), "", "", "e", nil, ""},
		{"named by digest", append(slices.Clone(two), described("e", "quay.io/pause@sha256:00", "")), "pause", "", "e", nil, ""},
		{"named by digest, with a tag", append(slices.Clone(two), described("e", "quay.io/pause@sha256:00", "")), "pause", "3", "", oci.ErrManifestUnknown, "pause"},
		{"nothing at all", nil, "app", "1", "", oci.ErrNameUnknown, "no image"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := names(test.index...).Resolve(t.Context(), ref.Name{Repository: test.repository, Tag: test.tag})
			if !errors.Is(err, test.err) || test.err != nil && !errors.Is(err, oci.ErrNotFound) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err == nil && got.Digest != digest.FromString(test.want) {
				t.Errorf("got %s, want that of %q", got.Digest, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q does not say %q", err, test.says)
			}
		})
	}
}

// Whoever looks for the tags of an image must see all of them and no others.
func TestTags(t *testing.T) {
	several := names(
		described("b", "docker.io/library/app:2", "2"), described("a", "docker.io/library/app:1", "1"),
		described("a", "docker.io/library/app:latest", "latest"), described("c", "quay.io/tool:x", "x"), described("d", "", ""),
	)
	for repository, want := range map[string][]string{
		"app": {"1", "2", "latest"}, "library/app": {"1", "2", "latest"}, "tool": {"x"}, "": {"1", "2", "latest", "x"}, "nginx": nil,
	} {
		got, err := several.Tags(t.Context(), repository)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("tags of %q: %q, %v; want %q", repository, got, err, want)
		}
	}
	one := names(described("a", "", ""))
	if got, err := one.Tags(t.Context(), "any"); err != nil || len(got) > 0 {
		t.Errorf("tags of the only image: %q, %v", got, err)
	}
	if all, err := several.Images(t.Context()); err != nil || len(all) != 4 {
		t.Errorf("%d images (%v), want 4", len(all), err)
	}
}

// A hostile index must not make a request slow.
func TestManyImages(t *testing.T) {
	var index ocispec.Index
	for i := range 20000 {
		d := described(string(rune(i)), "docker.io/library/app:1", "1")
		index.Manifests = append(index.Manifests, d, d)
	}
	im := NewNames(cid.Undef, index, nobody{})
	_, err := im.Resolve(t.Context(), ref.Name{Repository: "nginx", Tag: "1"})
	if err == nil || len(err.Error()) > 4096 {
		t.Errorf("message has %d bytes", len(err.Error()))
	}
	if n := len(im.byName[oci.ImageName{Repository: "app", Tag: "1"}]); n != maxSame {
		t.Errorf("%d images kept for one name, want %d", n, maxSame)
	}
}
