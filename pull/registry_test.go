package pull_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/registry/remote"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

func anonymous() remote.Options {
	return remote.Options{Credentials: func(context.Context, string, string) (auth.Credential, error) { return auth.EmptyCredential, nil }}
}

// An image goes to a registry with all platforms and all that refers to it: what comes
// of the push is the root that it came from.
func TestToRegistry(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	amd, arm := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	index := l.Index(amd, arm)
	signature := l.Image("signature", []byte("signed"))
	tag := "sha256-" + index.Digest.Encoded() + ".sig"
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.sbom", Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{}, Subject: &ocispec.Descriptor{MediaType: arm.MediaType, Digest: arm.Digest, Size: arm.Size}}
	m.SchemaVersion = 2
	l.Blob("", []byte("{}"))
	sbom := l.JSON(ocispec.MediaTypeImageManifest, m)
	sbom.ArtifactType = m.ArtifactType
	plain := func(d ocispec.Descriptor) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: d.ArtifactType}
	}
	both := "sha256-" + arm.Digest.Encoded() + ".sbom" // by its subject and by a tag
	referrers := []ocispec.Descriptor{oci.Named(plain(sbom), "team/app:"+both), oci.Named(plain(signature), "team/app:"+tag)}
	if signature.Digest < sbom.Digest {
		referrers[0], referrers[1] = referrers[1], referrers[0]
	}
	root := l.Publish(append([]ocispec.Descriptor{oci.Named(plain(index), "team/app:1")}, referrers...)...)

	store, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	into := pushed.New(store, pushed.Options{})
	s, err := server.New(server.Config{Local: store, Pushed: into})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	web := httptest.NewServer(s.PushHandler())
	defer web.Close()
	to, err := pull.DialRegistry(t.Context(), strings.TrimPrefix(web.URL, "http://")+"/team/app:1", anonymous())
	if err != nil {
		t.Fatal(err)
	}
	there, err := layout.Open(t.Context(), b, root)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for range 2 {
		lines = wasThere(t, there, to, root)
	}
	got, err := into.Root(t.Context(), "team/app", "1")
	if err != nil || got.Root != root {
		t.Errorf("it was pushed as %s (%v), want %s", got.Root, err, root)
	}
	if len(lines) < 6 { // the layers and configs of three images
		t.Errorf("the second time these were there: %q", lines)
	}
}

// wasThere sends an image and gives the lines about what did not have to be sent.
func wasThere(t *testing.T, from *layout.Layout, to pull.Target, root cid.Cid) (lines []string) {
	t.Helper()
	job, err := pull.Prepare(t.Context(), from, ref.Name{Root: root, Repository: "team/app", Tag: "1"}, to, pull.Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 100)
	job.Progress = pull.Progress{Event: func(line string) { events <- line }}
	if _, err := to.Pull(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	close(events)
	for line := range events {
		if strings.HasSuffix(line, "was there") {
			lines = append(lines, line)
		}
	}
	return lines
}

// What is no tag of a registry is refused before anything is asked.
func TestToRegistryNames(t *testing.T) {
	for _, name := range []string{"", "UPPER", "host/app@" + digest.FromString("x").String()} {
		if _, err := pull.DialRegistry(t.Context(), name, anonymous()); !errors.Is(err, pull.ErrTarget) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
