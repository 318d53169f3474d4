package oci_test

import (
	"maps"
	"reflect"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// What BuildKit and containerd name by a tag is found by its name; all that others
// write stays as it is, and no image gets another name than it had.
func TestFamiliar(t *testing.T) {
	for _, test := range []struct{ full, refName, wantFull, want string }{
		{"docker.io/library/app:1", "1", "docker.io/library/app:1", "app:1"},
		{"docker.io/team/app:1", "1", "docker.io/team/app:1", "team/app:1"},
		{"quay.io/coreos/etcd:v3", "v3", "quay.io/coreos/etcd:v3", "quay.io/coreos/etcd:v3"},
		{"docker.io/library/app", "1", "docker.io/library/app:1", "app:1"},
		{"docker.io/library/app", "", "docker.io/library/app:latest", "app:latest"},
		{"docker.io/library/app:1", "", "docker.io/library/app:1", "app:1"},
		{"localhost:5000/app", "1", "localhost:5000/app:1", "localhost:5000/app:1"},
		// Not ours to change.
		{"docker.io/library/app:1", "app:1", "docker.io/library/app:1", "app:1"},
		{"docker.io/library/app:1", "library/app:1", "docker.io/library/app:1", "library/app:1"},
		{"docker.io/library/app:1", "stable", "docker.io/library/app:1", "stable"},
		{"docker.io/library/app:1@sha256:" + zeros, "1", "docker.io/library/app:1@sha256:" + zeros, "1"},
		{"docker.io/library/app@sha256:" + zeros, "", "docker.io/library/app@sha256:" + zeros, ""},
		{"sha256:" + zeros, "1", "sha256:" + zeros, "1"},
		{"Not A Name", "1", "Not A Name", "1"},
		{"", "1", "", "1"},
		{"", "quay.io/app:1", "", "quay.io/app:1"},
		{"", "", "", ""},
	} {
		before := ocispec.Descriptor{Annotations: map[string]string{"kind": "dev.cosignproject.cosign/image"}, URLs: []string{"https://example.com"}}
		set := func(d *ocispec.Descriptor, key, value string) {
			if value != "" {
				d.Annotations[key] = value
			}
		}
		set(&before, oci.AnnotationImageName, test.full)
		set(&before, ocispec.AnnotationRefName, test.refName)
		kept := maps.Clone(before.Annotations)
		want := ocispec.Descriptor{Annotations: maps.Clone(before.Annotations), URLs: before.URLs}
		set(&want, oci.AnnotationImageName, test.wantFull)
		set(&want, ocispec.AnnotationRefName, test.want)

		got, changed := oci.Familiar([]ocispec.Descriptor{before, {}})
		if !reflect.DeepEqual(got, []ocispec.Descriptor{want, {}}) || changed != (test.want != test.refName) {
			t.Errorf("%q with ref.name %q: %+v, changed %v, want %+v", test.full, test.refName, got[0], changed, want)
		}
		if !maps.Equal(before.Annotations, kept) {
			t.Errorf("%q: the caller's descriptor is another now", test.full)
		}
		if names, now := oci.ImageNames(before), oci.ImageNames(got[0]); !reflect.DeepEqual(names, now) {
			t.Errorf("%q with ref.name %q: named %v before and %v now", test.full, test.refName, names, now)
		}
		if again, changed := oci.Familiar(got); changed || !reflect.DeepEqual(again, got) {
			t.Errorf("%q: changed once more to %+v", test.full, again[0])
		}
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// A name that another entry has now takes nothing else from one that had it.
func TestWithoutNames(t *testing.T) {
	taken := []oci.ImageName{{Repository: "app", Tag: "1"}, {Tag: "v1"}}
	for _, test := range []struct{ full, ref, wantFull, wantRef string }{
		{"docker.io/library/app:1", "app:1", "", ""},
		{"docker.io/library/app:1", "1", "", ""},
		{"x.io/edge:2", "app:1", "x.io/edge:2", ""},
		{"x.io/app:1", "edge:2", "", "edge:2"},
		{"x.io/edge:2", "2", "x.io/edge:2", "2"},
		{"", "v1", "", ""},
		{"", "v2", "", "v2"},
		{"x.io/edge:v1", "v1", "x.io/edge:v1", "v1"},
	} {
		desc := ocispec.Descriptor{Annotations: map[string]string{"other": "stays"}}
		for key, value := range map[string]string{oci.AnnotationImageName: test.full, ocispec.AnnotationRefName: test.ref} {
			if value != "" {
				desc.Annotations[key] = value
			}
		}
		got := oci.WithoutNames(desc, taken).Annotations
		if got[oci.AnnotationImageName] != test.wantFull || got[ocispec.AnnotationRefName] != test.wantRef || got["other"] != "stays" {
			t.Errorf("%q and %q: left %v", test.full, test.ref, got)
		}
	}
}
