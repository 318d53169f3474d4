//go:build staged

package main

import (
	"context"

	"github.com/containers/storage"
	graphdriver "github.com/containers/storage/drivers"
	"github.com/containers/storage/pkg/chunked"
	"github.com/opencontainers/go-digest"
)

// pull puts a layer into the store, as podman 5.0 does. Whatever fails
// before the layer is made has it pull the layer as a whole.
func pull(store storage.Store, name string, from *ranges, blob digest.Digest, annotations map[string]string) error {
	differ, err := chunked.GetDiffer(context.Background(), store, blob, from.size, annotations, from)
	if err != nil {
		return fallback{err}
	}
	out, err := store.ApplyDiffWithDiffer("", nil, differ)
	if err != nil {
		return fallback{err}
	}
	_, err = store.ApplyStagedLayer(storage.ApplyStagedLayerOptions{ID: name, DiffOutput: out, DiffOptions: &graphdriver.ApplyDiffWithDifferOpts{}})
	return err
}
