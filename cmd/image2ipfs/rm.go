package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ref"
)

func newRm() *cobra.Command {
	opts := &storeOptions{}
	cmd := &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove"},
		Short:   "Unpublish images",
		Long: `Unpublish images: the embedded node forgets the root, Kubo unpins it. All images
of an archive have one root and go together. Space comes back with image2ipfs gc
(embedded node) or ipfs repo gc (Kubo).`,
		Example: `  image2ipfs rm app:1
  image2ipfs rm ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi && image2ipfs gc`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			for _, arg := range args {
				name, err := findOne(cmd.Context(), all, arg)
				if err != nil {
					return err
				}
				if err := remove(cmd, all, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	opts.storeFlags(cmd)
	return cmd
}

// remove unpublishes a root wherever it is kept.
func remove(cmd *cobra.Command, all stores, name ref.Name) error {
	names, err := doomed(cmd.Context(), all, name)
	if err != nil {
		return err
	}
	if err := all.Remove(cmd.Context(), name.Root); err != nil {
		return err
	}
	if len(names) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "unpublished %s\n", strings.Join(names, ", "))
	}
	fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(name.Root))
	return nil
}

// doomed lists the images that go with a name, which must be one of them, where
// the layout can be read.
func doomed(ctx context.Context, all stores, name ref.Name) (names []string, err error) {
	l, err := all.Layout(ctx, name)
	if err != nil && name.Digest != "" {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	if err := isThere(ctx, l, name); err != nil {
		return nil, err
	}
	lines, err := l.Lines(ctx)
	if err != nil {
		return nil, nil // nothing keeps a broken image from being removed
	}
	for _, line := range lines {
		if line.Name != "" {
			names = append(names, line.Name)
		}
	}
	return names, nil
}
