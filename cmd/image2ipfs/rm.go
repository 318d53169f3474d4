package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// rmOptions are the flags of rm.
type rmOptions struct {
	storeOptions
	all, older, json bool
}

func newRm() *cobra.Command {
	opts := &rmOptions{}
	cmd := &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove"},
		Short:   "Unpublish images",
		Long: `Unpublish images: the embedded store forgets the root, Kubo unpins it. All images
of an archive have one root and go together. Running servers no longer find them at
once; space comes back with image2ipfs gc (embedded store) or ipfs repo gc (Kubo,
which gives what it has until then). What is being sent meanwhile is sent to its end.

A name that was published several times is refused, with a list that says when
each was: name one by its CID, or take --older, which leaves the newest image of
every name, or --all.`,
		Example: `  image2ipfs rm app:1
  image2ipfs rm --older app:1 && image2ipfs gc
  image2ipfs rm ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi && image2ipfs gc`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(&opts.storeOptions),
		RunE:              func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args) },
	}
	opts.storeFlags(cmd)
	cmd.Flags().BoolVar(&opts.all, "all", false, "unpublish all that was published under the name")
	cmd.Flags().BoolVar(&opts.older, "older", false, "unpublish what has a newer image of the same name, for each of its names")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print a JSON object for each root")
	return cmd
}

// removed is the JSON form of what was unpublished.
type removed struct {
	Root      ref.Spellings `json:"root"`
	Names     []string      `json:"names"`
	Published *time.Time    `json:"published,omitempty"`
	Size      int64         `json:"size,omitempty"`
}

func (o *rmOptions) run(cmd *cobra.Command, args []string) (err error) {
	if o.all && o.older {
		return usageError{errors.New("--all and --older exclude each other")}
	}
	all, err := o.openExisting(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	var going []local.Match
	for _, arg := range args { // nothing goes before all are understood
		found, err := o.find(cmd, all, arg)
		if err != nil {
			return err
		}
		for _, m := range found {
			if !slices.ContainsFunc(going, func(other local.Match) bool { return other.Name.Root.Equals(m.Name.Root) }) {
				going = append(going, m)
			}
		}
	}
	for _, m := range going {
		if err := o.remove(cmd, all, m); err != nil {
			return err
		}
	}
	if len(going) > 0 && !o.json {
		fmt.Fprintln(cmd.ErrOrStderr(), stayText(all))
	}
	return nil
}

// stayText says until when what was unpublished is on disk.
func stayText(all stores) string {
	const gone = "servers no longer find it by name; its blobs stay on disk until image2ipfs gc"
	if all.kubo != nil {
		return gone + ", and in Kubo, which gives them on request, until ipfs repo gc"
	}
	return gone
}

// find lists the roots that an argument is to unpublish.
func (o *rmOptions) find(cmd *cobra.Command, all stores, arg string) ([]local.Match, error) {
	ctx := cmd.Context()
	if !o.all && !o.older {
		m, err := findOne(ctx, all, arg, "; or --older for all but the newest, --all for all:")
		return []local.Match{m}, err
	}
	if _, err := ref.ParseName(arg); err == nil && o.older {
		return nil, usageError{fmt.Errorf("--older wants the name of an image, such as app:1; %s is one root", arg)}
	}
	found, err := all.FindAll(ctx, arg)
	if err != nil || o.all {
		return found, err
	}
	old, current, err := all.Superseded(ctx, found)
	if err != nil {
		return nil, err
	}
	if len(current) > 0 && !o.json {
		fmt.Fprintf(cmd.ErrOrStderr(), "stays, for a name of which it is the newest:\n%s\n", datedRoots(current))
	}
	return old, nil
}

// remove unpublishes a root wherever it is kept.
func (o *rmOptions) remove(cmd *cobra.Command, all stores, m local.Match) error {
	root := m.Name.Root
	names, err := all.Doomed(cmd.Context(), m.Name)
	if err != nil {
		return err
	}
	if names == nil {
		names = m.Names
	}
	if err := all.Remove(cmd.Context(), root); err != nil {
		return err
	}
	if o.json {
		out := removed{Root: ref.Spell(root), Names: append([]string{}, names...), Size: m.Size}
		if !m.Published.IsZero() {
			out.Published = &m.Published
		}
		return json.NewEncoder(cmd.OutOrStdout()).Encode(out)
	}
	if len(names) > 0 {
		size, published := sizeAndDate(m.Kept)
		fmt.Fprintf(cmd.ErrOrStderr(), "unpublished %s (%s, of %s)\n", oci.Quoted(strings.Join(names, ", ")), size, published)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(root))
	return err
}
