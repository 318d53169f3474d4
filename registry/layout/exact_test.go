package layout

import (
	"errors"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Below a name that moves, a name that today's only image does not have must not become
// tomorrow's other image.
func TestBelowMovingName(t *testing.T) {
	one := []ocispec.Descriptor{described("a", "docker.io/library/app:1", "1")}
	two := append(slices.Clone(one), described("b", "docker.io/library/app:2", "2"), described("c", "quay.io/org/tool:v1", "v1"))
	tagged := []ocispec.Descriptor{described("a", "", "v1")}
	for _, test := range []struct {
		name            string
		index           []ocispec.Descriptor
		repository, tag string
		want            string // content, empty for an error
		err             error
		says            string
	}{
		{"exact", one, "app", "1", "a", nil, ""},
		{"library", one, "library/app", "1", "a", nil, ""},
		{"the root alone", one, "", "", "a", nil, ""},
		{"other tag", one, "app", "2", "", oci.ErrManifestUnknown, "app:1"},
		{"no tag", one, "app", "", "", oci.ErrManifestUnknown, "app:1"},
		{"latest is no other tag", one, "app", "latest", "", oci.ErrManifestUnknown, "app:1"},
		{"other repository", one, "tool", "1", "", oci.ErrManifestUnknown, "app:1"},
		{"latest of the root", one, "", "latest", "", oci.ErrNameUnknown, "app:1"},
		{"several", two, "org/tool", "v1", "c", nil, ""},
		{"several, latest", two, "org/tool", "latest", "", oci.ErrManifestUnknown, "app:1, app:2, org/tool:v1"},
		{"several, the root alone", two, "", "", "", oci.ErrNameUnknown, "app:1"},
		{"several, a tag of one", two, "", "v1", "c", nil, ""},
		{"a tag without a repository", tagged, "any", "v1", "a", nil, ""},
		{"another tag without one", tagged, "any", "v2", "", oci.ErrManifestUnknown, ":v1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := names(test.index...).Resolve(t.Context(), ref.Name{Moving: "k51", Repository: test.repository, Tag: test.tag})
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
	unnamed := described("d", "", "")
	lines, err := names(append(slices.Clone(two), unnamed)...).MovingLines(t.Context(), "k51")
	var got []string
	for _, l := range lines {
		got = append(got, l.String())
	}
	if want := []string{"k51/app:1", "k51/app:2", "k51/org/tool:v1", "k51/image@" + unnamed.Digest.String()}; err != nil || !slices.Equal(got, want) {
		t.Errorf("lines %q, %v; want %q", got, err, want)
	}
}
