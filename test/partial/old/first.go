//go:build first

package main

import (
	"context"

	"github.com/containers/storage"
	"github.com/containers/storage/pkg/chunked"
	"github.com/opencontainers/go-digest"
)

// pull puts a layer into the store, as podman 4.4 to 4.8 does. Whatever fails
// before the layer is made has it pull the layer as a whole.
func pull(store storage.Store, name string, from *ranges, _ digest.Digest, annotations map[string]string) error {
	differ, err := chunked.GetDiffer(context.Background(), store, from.size, annotations, from)
	if err != nil {
		return fallback{err}
	}
	out, err := store.ApplyDiffWithDiffer("", nil, differ)
	if err != nil {
		return fallback{err}
	}
	layer, err := store.CreateLayer(name, "", nil, "", false, nil)
	if err != nil {
		return err
	}
	return store.ApplyDiffFromStagingDirectory(layer.ID, out.Target, out, nil)
}
