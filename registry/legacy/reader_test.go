package legacy

import (
	"testing"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
)

// Old trees answer as layouts do, those of 0.1.0 with the contents that their
// digests mean.
func TestReader(t *testing.T) {
	image := oldtree.NewImage(t, "old", 600<<10, 10)
	for _, version := range []string{"0.0.1", "0.0.4", "0.1.0"} {
		t.Run(version, func(t *testing.T) {
			tree, _ := open(t, oldtree.Files(t, version, "coreos/etcd", image))
			content := image.Layers[0]
			if version != "0.1.0" { // whose manifests have the gzip's digest
				content = oldtree.Gzip(t, content)
			}
			registrytest.Known(t, tree, ref.Name{Repository: "coreos/etcd", Tag: "latest"}, tree.Stored[0].Descriptor, content)
		})
	}
}
