package layout_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What a name means must not depend on who is asked.
func TestReader(t *testing.T) {
	registrytest.RunOver(t, func(_ *testing.T, blocks *testlayout.Blocks, _ cid.Cid) ipfs.Getter { return blocks })
}

// away has all blocks but that of one small file, which cannot be had at the moment.
type away struct {
	ipfs.Getter
	file digest.Digest
	away bool
}

func (a *away) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := a.Getter.Get(ctx, c)
	if err == nil && a.away && digest.FromBytes(data) == a.file {
		return nil, fmt.Errorf("%w: the connection broke", ipfs.ErrUnavailable)
	}
	return data, err
}

// While a manifest cannot be had, nobody is told that it refers to nothing, nor that it
// is not there; afterwards it is found.
func TestReferrersThatAreAway(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("one"))
	sbom := l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.sbom", Config: image, Subject: &image,
	})
	from := &away{Getter: blocks, file: sbom.Digest, away: true}
	r, err := layout.Open(t.Context(), from, l.Publish(oci.Named(image, "app:1"), sbom))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := r.Referrers(t.Context(), image.Digest); !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, oci.ErrNotFound) {
		t.Errorf("while it is away: %+v, %v", found, err)
	}
	if m, err := r.Manifest(t.Context(), sbom.Digest); !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, oci.ErrNotFound) {
		t.Errorf("while it is away: %s, %v", m.Content, err)
	}
	from.away = false
	if found, err := r.Referrers(t.Context(), image.Digest); err != nil || len(found) != 1 || found[0].Digest != sbom.Digest {
		t.Errorf("when it is back: %+v, %v", found, err)
	}
}
