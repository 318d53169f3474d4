package oci

import (
	"context"
	"errors"
	"fmt"
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
