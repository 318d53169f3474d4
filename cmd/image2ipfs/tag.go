package main

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

func newTag() *cobra.Command {
	opts := &storeOptions{}
	cmd := &cobra.Command{
		Use:   "tag NEW OLD",
		Short: "Give a published image a local name",
		Long: `Give a published image a local name, by which serve --push serves it on its push
address: NEW is that from now on, whatever it was before. OLD is a name by which the
image is found here, local or with a CID in it. No CID changes: both names mean the
same root. What NEW was before stays published, and ls NEW lists it. NEW is taken as it
stands: example.com/app:1 is another name than app:1.`,
		Example: `  image2ipfs tag app:stable app:1
  image2ipfs tag team/app:1 ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi/app`,
		Args:              usage(exactly(2)),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if _, _, err := local.ParseName(args[0]); err != nil {
				return usageError{err}
			}
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			is, was, err := all.Tag(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if was.Root.Defined() && !was.Root.Equals(is.Root) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s was %s, which stays published\n", was.Name, ref.Ciq(was.Root))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(is.Root))
			return err
		},
	}
	opts.storeFlags(cmd)
	return cmd
}

func newUntag() *cobra.Command {
	opts := &storeOptions{}
	cmd := &cobra.Command{
		Use:   "untag NAME...",
		Short: "Take local names away",
		Long: `Take local names away: the push address of serve --push no longer answers to them.
What they were and are stays published under its CID, until image2ipfs rm. Where an older
image was published under the name, commands go on to find that, which is told. A name is
taken as image2ipfs ls prints it, with what looks like a host: where example.com/app:1
is none, app:1 stays.`,
		Example:           `  image2ipfs untag app:stable`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			for _, arg := range args { // nothing goes before all are understood
				if _, _, err := local.ParseName(arg); err != nil {
					return usageError{err}
				}
			}
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			for _, arg := range args {
				was, err := all.Untag(cmd.Context(), arg)
				if err != nil {
					return err
				}
				if err := tellUntagged(cmd, was); err != nil {
					return err
				}
				if err := tellMeanings(cmd, all, was.Root, arg); err != nil {
					return err
				}
			}
			return nil
		},
	}
	opts.storeFlags(cmd)
	return cmd
}

// tellMeanings tells what names that were taken away mean to commands now: the newest of
// what was published under each is found, though the push address answers to local names
// alone. Was is what the name was, where it is one that stays published.
func tellMeanings(cmd *cobra.Command, all stores, was cid.Cid, names ...string) error {
	means, err := all.Meanings(cmd.Context(), names...)
	if err != nil {
		return err
	}
	told := 0
	for _, n := range names {
		root := means[n].Root
		if !root.Defined() {
			continue
		}
		if told++; told > mostTold {
			fmt.Fprintln(cmd.ErrOrStderr(), "and more names mean what was published under them before")
			break
		}
		if root.Equals(was) {
			fmt.Fprintf(cmd.ErrOrStderr(), "commands go on to find it as %s; the push address does not\n", oci.Quoted(n))
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s means %s to commands now, which was published under it, too, and nothing to the push address; to end that: image2ipfs tag %s NAME, or image2ipfs rm %s\n", oci.Quoted(n), ref.Ciq(root), oci.Quoted(n), ref.Ciq(root))
	}
	return nil
}

func tellUntagged(cmd *cobra.Command, was pushed.Local) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s is no local name any more; what it was stays published:\n", was.Name)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(was.Root))
	return err
}
