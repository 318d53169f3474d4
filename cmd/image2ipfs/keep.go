package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// keep copies a whole layout into the own store and publishes it there.
func keep(cmd *cobra.Command, all stores, from *sources.Set, l *layout.Layout, quiet bool) (ipfs.Stats, error) {
	stats, err := pull.Keep(cmd.Context(), from, all.Stores[0], l)
	if err == nil && !quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "kept in the %s%s\n", all.Stores[0], newBytesText(stats))
	}
	return stats, err
}
