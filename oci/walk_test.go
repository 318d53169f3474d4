package oci

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// holed is a layout that lists a manifest whose bytes nobody has.
type holed struct {
	memory
	hole digest.Digest
}

func (h holed) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Digest == h.hole {
		return nil, fmt.Errorf("%w: its block", ErrNotFound)
	}
	return h.memory.Manifest(ctx, desc)
}

// A platform that a layout does not list was left out on purpose; one that it lists
// and cannot read is lost, and must not be passed over in silence.
func TestWalkTellsLeftOutFromLost(t *testing.T) {
	m := memory{}
	image := func(layer string) ocispec.Descriptor {
		return m.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Config: m.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{m.add(ocispec.MediaTypeImageLayer, []byte(layer))},
		})
	}
	here, other := image("one"), image("two")
	index := NewIndex([]ocispec.Descriptor{m.json(ocispec.MediaTypeImageIndex, NewIndex([]ocispec.Descriptor{here, other}))})
	if _, err := Walk(t.Context(), holed{m, other.Digest}, index); !errors.Is(err, ErrNotFound) {
		t.Errorf("a manifest that is lost: %v, want ErrNotFound", err)
	}
	delete(m, other.Digest)
	if all, err := Walk(t.Context(), m, index); err != nil || len(all.Absent) != 1 {
		t.Errorf("a manifest that was left out: %v", err)
	}
}

// A layer that is distributed elsewhere need not be there, but whoever lacks it is
// told, once, and where it is.
func TestWalkTellsForeignLayers(t *testing.T) {
	m := memory{}
	elsewhere := ocispec.Descriptor{
		MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: digest.FromString("base"), Size: 4, URLs: []string{"https://layers.example/base"},
	}
	image := m.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Config: m.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{elsewhere, elsewhere},
	})
	all, err := Walk(t.Context(), m, NewIndex([]ocispec.Descriptor{image}))
	if err != nil || len(all.Foreign) != 1 || all.Foreign[0].Digest != elsewhere.Digest {
		t.Fatalf("%+v, %v", all, err)
	}
	if len(all.Absent) != 1 || !strings.Contains(all.Absent[0], elsewhere.Digest.String()) || !strings.Contains(all.Absent[0], elsewhere.URLs[0]) {
		t.Errorf("absent: %q, want the layer and its URL", all.Absent)
	}
	m[elsewhere.Digest] = []byte("base")
	if all, err = Walk(t.Context(), m, NewIndex([]ocispec.Descriptor{image})); err != nil || len(all.Foreign)+len(all.Absent) != 0 {
		t.Errorf("one that is there: %+v, %v", all, err)
	}
}
