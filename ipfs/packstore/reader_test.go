package packstore

import (
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
)

// Names mean in the embedded store what they mean everywhere.
func TestReader(t *testing.T) {
	registrytest.RunOverStore(t, func(t *testing.T) ipfs.Store {
		s, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
