package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
)

// gcOptions are the flags of gc.
type gcOptions struct {
	dryRun, cache, json, quiet bool
}

func newGC() *cobra.Command {
	opts := &gcOptions{}
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Free the space of what is no longer published",
		Long: `Free the space of what is no longer published in the embedded store, and of
publications that were cut off. Publications, pushes and servers go on meanwhile;
what those under way rely on is left to the next gc. What was fetched from peers
is kept in a cache of limited size, which --cache empties as well. Kubo's store is
left to Kubo (ipfs repo gc).`,
		Example: `  image2ipfs rm app:1 && image2ipfs gc
  image2ipfs gc --dry-run
  image2ipfs gc --cache`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error { return opts.run(cmd) },
	}
	f := cmd.Flags()
	f.BoolVar(&opts.dryRun, "dry-run", false, "tell what would go, remove nothing")
	f.BoolVar(&opts.cache, "cache", false, "empty the cache of what was fetched from peers, too")
	f.BoolVar(&opts.json, "json", false, "print a JSON object")
	f.BoolVarP(&opts.quiet, "quiet", "q", false, "print failures only")
	return cmd
}

func (o *gcOptions) run(cmd *cobra.Command) (err error) {
	store, err := existingStore()
	if errors.Is(err, ipfs.ErrNotFound) && os.Getenv("IMAGE2IPFS_PATH") == "" && !o.json {
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing to free: there is no store yet")
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := tellForeign(cmd, store); err != nil {
		return err
	}
	stage := packstore.GCStage("")
	stats, err := store.GC(cmd.Context(), packstore.GCOptions{DryRun: o.dryRun, Cache: o.cache, Progress: func(p packstore.GCProgress) {
		if p.Stage != stage && !o.quiet && !o.json {
			stage = p.Stage
			fmt.Fprintln(cmd.ErrOrStderr(), p.Stage)
		}
	}})
	if err != nil {
		return err
	}
	if stats.NoRoom {
		fmt.Fprintln(cmd.ErrOrStderr(), "the disk is full: some packs could not be written anew; gc frees more when there is room")
	}
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(stats)
	}
	if !o.quiet {
		o.report(cmd, stats)
	}
	return nil
}

func (o *gcOptions) report(cmd *cobra.Command, stats packstore.GCStats) {
	verb := "removed"
	if o.dryRun {
		verb = "would remove"
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s %d blocks, %s; kept %d blocks, %s\n", verb,
		stats.RemovedBlocks, oci.BytesText(stats.RemovedBytes), stats.KeptBlocks, oci.BytesText(stats.KeptBytes))
	if stats.AbandonedBytes > 0 {
		fmt.Fprintf(out, "%s %s of publications that were cut off\n", verb, oci.BytesText(stats.AbandonedBytes))
	}
	if stats.ClaimedBytes > 0 {
		fmt.Fprintf(out, "left %s beside what publications and pushes under way rely on, to the next gc\n", oci.BytesText(stats.ClaimedBytes))
	}
	switch {
	case o.cache:
		fmt.Fprintf(out, "%s %s of the cache\n", verb, oci.BytesText(stats.CacheBytes))
	case stats.CacheBytes > 0:
		fmt.Fprintf(out, "left %s in the cache (image2ipfs gc --cache empties it)\n", oci.BytesText(stats.CacheBytes))
	}
}
