package resolver

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// containerd must get under a name what every other engine gets.
func TestNames(t *testing.T) {
	registrytest.Questions(t, func(t *testing.T, blocks *testlayout.Blocks, name ref.Name) (digest.Digest, error) {
		_, desc, err := newResolver(t, WithStore(blocks)).Resolve(t.Context(), name.String())
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsDataLoss(err) {
			t.Errorf("containerd does not know what kind of error this is: %v", err)
		}
		return desc.Digest, err
	})
}
