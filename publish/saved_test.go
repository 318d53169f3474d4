package publish

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/archive"
)

// saved publishes what an engine writes, by its word.
func saved(t *testing.T, w *watched, f files, s *Saved) (*Result, error) {
	t.Helper()
	a := archive.Stream("engine", io.NopCloser(bytes.NewReader(f.tar())))
	return Publish(t.Context(), a, w, Options{Saved: s})
}

// The name of an image must not depend on what its engine tells of it beforehand;
// and what it tells spares compressing layers that are known.
func TestSavedByEngine(t *testing.T) {
	for name, f := range map[string]files{"docker20": docker20(), "docker28": docker28()} {
		want := mustPublish(t, newStore(t), f.write(t))
		w := &watched{Store: newStore(t)}
		diffIDs := []digest.Digest{"nonsense"}
		for _, content := range f {
			diffIDs = append(diffIDs, digest.FromBytes(content.data))
		}
		for range 2 {
			got, err := saved(t, w, f, &Saved{DiffIDs: diffIDs})
			if err != nil || got.Root != want.Root {
				t.Fatalf("%s: %v, %v, want %v", name, got, err, want.Root)
			}
		}
		if name == "docker28" && w.hits == 0 { // whose layers are called by their diffIDs
			t.Errorf("%s: the second time nothing was recalled", name)
		}
	}
}

// An engine that writes something else than it said is found out.
func TestSavedOtherwise(t *testing.T) {
	w := &watched{Store: newStore(t)}
	if _, err := saved(t, w, layout(), &Saved{}); !errors.Is(err, archive.ErrFormat) {
		t.Errorf("%v", err)
	}
}
