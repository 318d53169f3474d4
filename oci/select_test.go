package oci

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// described makes a descriptor with a digest of its own for each content.
func described(content, imageName, refName string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(content), Size: 1, Annotations: map[string]string{}}
	if imageName != "" {
		d.Annotations[AnnotationImageName] = imageName
	}
	if refName != "" {
		d.Annotations[ocispec.AnnotationRefName] = refName
	}
	return d
}

// A name that is read wrongly makes an image unreachable under the name that
// its publisher was told.
func TestImageNames(t *testing.T) {
	for _, test := range []struct {
		imageName, refName string
		want               []string
	}{
		{"", "", nil},
		{"docker.io/library/app:1", "1", []string{"app:1"}},
		{"docker.io/library/app:1", "", []string{"app:1"}},
		{"docker.io/library/app", "2", []string{"app:2"}},
		{"quay.io/coreos/etcd:v3", "v3", []string{"coreos/etcd:v3"}},
		{"localhost:5000/foo/bar", "", []string{"foo/bar:latest"}},
		{"docker.io/library/app:1", "docker.io/library/app:1", []string{"app:1"}},
		{"docker.io/library/app:1", "example.org/other:2", []string{"app:1", "other:2"}},
		{"", "latest", []string{":latest"}},
		{"", "1.36", []string{":1.36"}},
		{"", "docker.io/library/busybox:1.36", []string{"busybox:1.36"}},
		{"", "busybox:1.36", []string{"busybox:1.36"}},
		{"", "org/app", []string{"org/app:latest"}},
		{"app:1@sha256:0000", "", []string{"app:1"}},
		{"", "not a tag", nil},
		{"UPPER/case:1", "", nil},
		{"", "a/<script>:1", nil},
	} {
		var got []string
		for _, n := range ImageNames(described("x", test.imageName, test.refName)) {
			got = append(got, n.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("ImageNames(%q, %q) = %q, want %q", test.imageName, test.refName, got, test.want)
		}
	}
}

// The rules of design.md, "Names": with one image any name pulls it; with
// several a wrong name is an error that says what there is.
func TestSelect(t *testing.T) {
	one := []ocispec.Descriptor{described("a", "docker.io/library/app:1", "1")}
	twoTags := append(slices.Clone(one), described("a", "docker.io/library/app:2", "2"))
	two := append(slices.Clone(one), described("b", "docker.io/library/app:2", "2"), described("c", "quay.io/org/tool:v1", "v1"))
	unnamed := []ocispec.Descriptor{described("a", "", ""), described("b", "", "")}
	tagged := []ocispec.Descriptor{described("a", "", "v1"), described("b", "", "v2")}
	artifact := described("s", "", "")
	artifact.ArtifactType = "application/example"
	signed := append(slices.Clone(one), artifact, described("f", "", "sha256-"+strings.Repeat("0", 64)))
	ambiguous := []ocispec.Descriptor{described("a", "a.io/app:1", ""), described("b", "b.io/app:1", "")}
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
		{"several, only tag is not any tag", two, "org/tool", "v2", "", ErrTagUnknown, "org/tool:v1"},
		{"several, two tags", two, "app", "latest", "", ErrTagUnknown, "app:1, app:2, org/tool:v1"},
		{"several, wrong name", two, "nginx", "1", "", ErrNameUnknown, "app:1, app:2, org/tool:v1"},
		{"several, no name", two, "", "latest", "", ErrTagUnknown, "app:1"},
		{"several, unique tag without a name", two, "", "v1", "c", nil, ""},
		{"unnamed", unnamed, "app", "1", "", ErrNameUnknown, "@" + digest.FromString("b").String()},
		{"tags alone", tagged, "any", "v2", "b", nil, ""},
		{"tags alone, wrong", tagged, "any", "v3", "", ErrNameUnknown, ":v1, :v2"},
		{"artifacts are no images", signed, "any", "latest", "a", nil, ""},
		{"artifact by its tag", signed, "any", "sha256-" + strings.Repeat("0", 64), "f", nil, ""},
		{"a signature is not the image", one, "app", "sha256-" + strings.Repeat("0", 64) + ".sig", "", ErrTagUnknown, "app:1"},
		{"a referrer is not the image", one, "any", "sha256-" + strings.Repeat("0", 64), "", ErrTagUnknown, "app:1"},
		{"a referrer is not another", []ocispec.Descriptor{artifact}, "any", "sha512-" + strings.Repeat("0", 128), "", ErrTagUnknown, ""},
		{"artifact alone", []ocispec.Descriptor{artifact}, "any", "x", "s", nil, ""},
		{"ambiguous", ambiguous, "app", "1", "", ErrTagUnknown, "several"},
		{"nothing", nil, "app", "1", "", ErrNameUnknown, "no image"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Select(ocispec.Index{Manifests: test.index}, test.repository, test.tag)
			if !errors.Is(err, test.err) || test.err != nil && !errors.Is(err, ErrNotFound) {
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
	several := NewImages(ocispec.Index{Manifests: []ocispec.Descriptor{
		described("b", "docker.io/library/app:2", "2"), described("a", "docker.io/library/app:1", "1"),
		described("a", "docker.io/library/app:latest", "latest"), described("c", "quay.io/tool:x", "x"), described("d", "", ""),
	}})
	for repository, want := range map[string][]string{
		"app": {"1", "2", "latest"}, "library/app": {"1", "2", "latest"}, "tool": {"x"}, "": {"1", "2", "latest", "x"}, "nginx": nil,
	} {
		got, err := several.Tags(repository)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("tags of %q: %q, %v; want %q", repository, got, err, want)
		}
	}
	one := NewImages(ocispec.Index{Manifests: []ocispec.Descriptor{described("a", "", "")}})
	if got, err := one.Tags("any"); err != nil || !slices.Equal(got, []string{"latest"}) {
		t.Errorf("tags of the only image: %q, %v", got, err)
	}
	if n := len(several.List()); n != 4 {
		t.Errorf("%d images, want 4", n)
	}
}

// A hostile index must not make a request slow.
func TestManyImages(t *testing.T) {
	var index ocispec.Index
	for i := range 20000 {
		d := described(string(rune(i)), "docker.io/library/app:1", "1")
		index.Manifests = append(index.Manifests, d, d)
	}
	im := NewImages(index)
	_, err := im.Select("nginx", "1")
	if err == nil || len(err.Error()) > 4096 {
		t.Errorf("message has %d bytes", len(err.Error()))
	}
	if n := len(im.byName[ImageName{"app", "1"}]); n != maxAmbiguous {
		t.Errorf("%d images kept for one name, want %d", n, maxAmbiguous)
	}
}

func FuzzImageNames(f *testing.F) {
	f.Add("docker.io/library/app:1", "1")
	f.Add("", "a/b:c@sha256:x")
	f.Add("localhost/x", "")
	f.Fuzz(func(t *testing.T, imageName, refName string) {
		for _, n := range ImageNames(described("x", imageName, refName)) {
			if n.Repository != "" && !ValidName(n.Repository) || !ValidTag(n.Tag) {
				t.Errorf("name %q breaks the grammar", n)
			}
			index := ocispec.Index{Manifests: []ocispec.Descriptor{described("x", imageName, refName), described("y", "", "")}}
			if _, err := Select(index, n.Repository, n.Tag); err != nil {
				t.Errorf("its own name %q does not select it: %v", n, err)
			}
		}
	})
}
