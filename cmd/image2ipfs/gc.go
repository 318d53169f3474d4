package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs/node"
)

func newGC() *cobra.Command {
	var dryRun, asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Free the space of what is no longer published",
		Long: `Free the space of what is no longer published on the embedded node, and of
publications that were cut off. It waits for publications under way; servers go
on. Kubo's store is left to Kubo (ipfs repo gc).`,
		Example: `  image2ipfs rm app:1 && image2ipfs gc
  image2ipfs gc --dry-run`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			store, err := openStore()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			stage := node.GCStage("")
			stats, err := store.GC(cmd.Context(), node.GCOptions{DryRun: dryRun, Progress: func(p node.GCProgress) {
				if p.Stage != stage && !quiet && !asJSON {
					stage = p.Stage
					fmt.Fprintln(cmd.ErrOrStderr(), p.Stage)
				}
			}})
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(stats)
			}
			verb := "removed"
			if dryRun {
				verb = "would remove"
			}
			if !quiet {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %d blocks, %s; kept %d blocks, %s\n", verb,
					stats.RemovedBlocks, bytesText(stats.RemovedBytes), stats.KeptBlocks, bytesText(stats.KeptBytes))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "tell what would go, remove nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print failures only")
	return cmd
}
