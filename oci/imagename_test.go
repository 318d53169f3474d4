package oci

import (
	"slices"
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
		{"registry.k8s.io/pause@sha256:0000", "@sha256:0000", []string{"pause"}},
		{"registry.k8s.io/pause:3.9@sha256:0000", "", []string{"pause:3.9"}},
		{"sha256:1f1f1f1f1f1f", "sha256:1f1f1f1f1f1f", nil},
		{"", "@sha256:0000", nil},
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

func FuzzImageNames(f *testing.F) {
	f.Add("docker.io/library/app:1", "1")
	f.Add("", "a/b:c@sha256:x")
	f.Add("localhost/x", "")
	f.Add("sha256:1f1f1f1f", "a@sha256:1f")
	f.Fuzz(func(t *testing.T, imageName, refName string) {
		for _, n := range ImageNames(described("x", imageName, refName)) {
			if n.Repository != "" && !ValidName(n.Repository) || n.Tag != "" && !ValidTag(n.Tag) || n == (ImageName{}) {
				t.Errorf("name %q breaks the grammar", n)
			}
		}
	})
}
