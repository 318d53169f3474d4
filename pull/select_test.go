package pull_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A digest in a name decides, and must fit to the tag beside it.
func TestSelectByDigest(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	amd, arm := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	index := l.Index(amd, arm)
	root := l.Publish(oci.Named(index, "app:1"))
	for rest, want := range map[string]digest.Digest{
		"/app@" + index.Digest.String():                                 index.Digest,
		"/app:1@" + index.Digest.String():                               index.Digest,
		"/app@" + arm.Digest.String():                                   arm.Digest,
		"@" + arm.Digest.String():                                       arm.Digest,
		"/app:1@" + arm.Digest.String():                                 "",
		"/app:2@" + arm.Digest.String():                                 "",
		"/app@" + digest.FromString("no image of this layout").String(): "",
	} {
		i, err := selected(t, b, root, rest, "")
		switch {
		case want == "" && !errors.Is(err, oci.ErrNotFound):
			t.Errorf("%s: got %v and error %v, want one that matches ErrNotFound", rest, i, err)
		case want != "" && (err != nil || i.Target.Digest != want):
			t.Errorf("%s: got %v (%v), want %s", rest, i, err, want)
		}
	}
	pinned := mustSelect(t, b, root, "/app@"+arm.Digest.String())
	if name := pinned.EngineName(); !strings.HasSuffix(name, "/app:"+arm.Digest.Encoded()[:12]) {
		t.Errorf("an engine gets the pinned image as %s", name)
	}
}

// Each line that publish prints for images without names can be pulled.
func TestSelectUnnamed(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	one, two := l.Image("amd64", []byte("one")), l.Image("amd64", []byte("two"))
	root := l.Publish(one, two)
	for _, want := range []ocispec.Descriptor{one, two} {
		if i := mustSelect(t, b, root, "/image@"+want.Digest.String()); i.Target.Digest != want.Digest {
			t.Errorf("got %s, want %s", i.Target.Digest, want.Digest)
		}
	}
}

// A root of several is all of them, each for the platform asked for, and none for an
// engine, which has to be told which.
func TestSelectOneOfSeveral(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	root := l.Publish(oci.Named(l.Image("amd64", []byte("one")), "app:latest"), oci.Named(l.Image("amd64", []byte("two")), "tool:2"))
	all, err := selected(t, b, root, "", "linux/amd64")
	if err != nil || len(all.Blobs) != 6 || !errors.Is(all.Several(), oci.ErrNotFound) || !strings.Contains(all.Several().Error(), "app:latest, tool:2") {
		t.Fatalf("without a name: %v", err)
	}
	if err := all.CheckDockerArchive(t.Context()); err != nil {
		t.Error(err)
	}
	mixed := l.Publish(oci.Named(l.Index(l.Image("arm64", []byte("arm"))), "app:1"), oci.Named(l.Image("amd64", []byte("two")), "tool:2"))
	if _, err := selected(t, b, mixed, "", "linux/amd64"); !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("one has no such platform: %v", err)
	}
	if _, err := selected(t, b, root, "/tool", "linux/amd64"); err != nil {
		t.Errorf("with one: %v", err)
	}
	if i := mustSelect(t, b, root, ""); len(i.Blobs) < 6 {
		t.Errorf("the whole layout has %d blobs", len(i.Blobs))
	}
}

// Platforms are found where an index leaves them out, and in indices below.
func TestSelectPlatform(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	amd, arm := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	amd.Platform, arm.Platform = nil, nil
	root := l.Publish(oci.Named(l.Index(l.Index(amd), arm), "app:1"))
	for platform, want := range map[string]ocispec.Descriptor{"linux/amd64": amd, "linux/arm64": arm} {
		i, err := selected(t, b, root, "/app:1", platform)
		if err != nil || i.Target.Digest != want.Digest {
			t.Errorf("%s: got %v (%v), want %s", platform, i, err, want.Digest)
		}
	}
	if _, err := selected(t, b, root, "/app:1", "linux/s390x"); !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "linux/amd64, linux/arm64") {
		t.Errorf("a platform that is not there: %v", err)
	}
}
