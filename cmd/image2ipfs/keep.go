package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// keep copies a whole layout into the own store and publishes it there.
func (o *pullOptions) keep(cmd *cobra.Command, all engines, from ipfs.Getter, l *ipfs.Layout) (err error) {
	ctx := cmd.Context()
	tx, err := all[0].Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Abort()) }()
	if err := ipfs.Copy(ctx, from, tx, l.Root); err != nil {
		return err
	}
	root := ipfs.Root{CID: l.Root, Names: []string{}, Published: time.Now().UTC().Truncate(time.Millisecond)}
	for _, image := range oci.NewImages(l.Index).List() {
		for _, name := range image.Names {
			root.Names = append(root.Names, name.String())
		}
	}
	needed, err := oci.Walk(ctx, l, l.Index)
	if err != nil {
		return err
	}
	for _, b := range needed.Blobs {
		root.Size += b.Size
	}
	stats, err := tx.Commit(ctx, root)
	if err == nil && !o.quiet && !o.json {
		fmt.Fprintf(cmd.ErrOrStderr(), "kept in the %s%s\n", all[0], newBytesText(stats))
	}
	return err
}
