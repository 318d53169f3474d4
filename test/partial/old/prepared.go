//go:build !first && !staged

package main

import (
	"context"
	"errors"

	"github.com/containers/storage"
	graphdriver "github.com/containers/storage/drivers"
	"github.com/containers/storage/pkg/chunked"
	"github.com/opencontainers/go-digest"
)

// pull puts a layer into the store, as podman 5.5 and 5.6 do. What they take for
// a reason to pull the layer as a whole says so.
func pull(store storage.Store, name string, from *ranges, blob digest.Digest, annotations map[string]string) error {
	whole := func(err error) error {
		var f chunked.ErrFallbackToOrdinaryLayerDownload
		if errors.As(err, &f) {
			return fallback{err}
		}
		return err
	}
	differ, err := chunked.NewDiffer(context.Background(), store, blob, from.size, annotations, from)
	if err != nil {
		return whole(err)
	}
	defer differ.Close()
	out, err := store.PrepareStagedLayer(&graphdriver.ApplyDiffWithDifferOpts{}, differ)
	if err != nil {
		return whole(err)
	}
	_, err = store.ApplyStagedLayer(storage.ApplyStagedLayerOptions{ID: name, DiffOutput: out, DiffOptions: &graphdriver.ApplyDiffWithDifferOpts{}})
	return err
}
