package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// rmOptions are the flags of rm.
type rmOptions struct {
	storeOptions
	all, untagged, dryRun, json bool
	force                       bool
	keep                        int
	older                       age
	match                       []string
}

func newRm() *cobra.Command {
	opts := &rmOptions{}
	cmd := &cobra.Command{
		Use:     "rm [NAME...]",
		Aliases: []string{"remove"},
		Short:   "Unpublish images",
		Long: `Unpublish images: the embedded store forgets the root, Kubo unpins it. All images
of an archive have one root and go together. Running servers no longer find them at
once; space comes back with image2ipfs gc (embedded store) or ipfs repo gc (Kubo,
which gives what it has until then). What is being sent meanwhile is sent to its end.

A name is taken as image2ipfs ls prints it, with what looks like a host: where
example.com/app:1 is none, app:1 stays. What ls --all prints as REPOSITORY@DIGEST, pushed
by digest alone, goes by that.

A name that was published several times is refused, with a list that says when
each was: name one by its CID, or take --keep 1, which leaves the newest, or --all.

What a name that moves means, whose key is in this store (image2ipfs name ls), is refused:
who has that name could pull nothing any more. Publish the name to something else first,
or say --force.

Rules choose among NAME, --match and all that is --untagged, and each leaves more:
--match takes images all of whose present names match, --keep leaves the newest N of
each repository among them, --older what is younger. What a local name is now counts as
newer than what none is, and as old as the name's meaning it. --untagged leaves what was
pinned by command, and takes manifests that were pushed by digest a day ago or earlier
and that no image has, too (ls --all lists them). With --dry-run nothing goes, and it is told what would, and how many
bytes nothing else needs.`,
		Example: `  image2ipfs rm app:1
  image2ipfs rm --keep 1 app:1 && image2ipfs gc
  image2ipfs rm --match 'app:pr-*' --keep 5 --older 30d --dry-run
  image2ipfs rm --untagged --older 2w && image2ipfs gc
  image2ipfs rm ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi && image2ipfs gc`,
		Args:              usage(opts.named),
		ValidArgsFunction: completeNames(&opts.storeOptions),
		RunE:              func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args) },
	}
	opts.storeFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&opts.all, "all", false, "unpublish all that was published under the name")
	f.BoolVar(&opts.force, "force", false, "unpublish also what a name that moves means whose key is here")
	f.StringArrayVar(&opts.match, "match", nil, "unpublish what is called like this, repository:tag or repository, where * is any text without a slash; may be given several times")
	f.BoolVar(&opts.untagged, "untagged", false, "only what no local name is, and that was pushed, or that a name was when it was published")
	f.IntVar(&opts.keep, "keep", 0, "leave this many of the newest in each repository")
	f.Var(&opts.older, "older", "leave what was published in this time, or what a name came to mean in it, such as 30d, 2w or 12h")
	f.BoolVarP(&opts.dryRun, "dry-run", "n", false, "tell what would go and what that frees, unpublish nothing")
	f.BoolVar(&opts.json, "json", false, "print a JSON object for each root")
	return cmd
}

// named refuses a command that does not say of which images.
func (o *rmOptions) named(_ *cobra.Command, args []string) error {
	if len(args)+len(o.match) == 0 && !o.untagged {
		return errors.New("which images? Give a NAME, --match 'app:pr-*' or --untagged; --match '*' --match '*/*' is all that have a name")
	}
	if o.keep < 0 {
		return fmt.Errorf("--keep is %d: expected a number from 0 on", o.keep)
	}
	if o.all && o.byRules() {
		return errors.New("--all leaves nothing that has the name: it excludes --keep, --older, --match and --untagged")
	}
	if o.force && o.byRules() {
		return errors.New("--keep, --older, --match and --untagged leave what names that move mean: --force is for images that are named one by one")
	}
	return nil
}

// byRules tells whether more is said than names.
func (o *rmOptions) byRules() bool {
	return o.keep > 0 || o.older > 0 || len(o.match) > 0 || o.untagged
}

// removed is the JSON form of what was unpublished.
type removed struct {
	Root      ref.Spellings `json:"root,omitzero"`
	Manifest  string        `json:"manifest,omitempty"` // in place of a root, "repository@digest"
	Names     []string      `json:"names"`
	Published *time.Time    `json:"published,omitempty"`
	Size      int64         `json:"size,omitempty"`
	Frees     int64         `json:"frees,omitempty"`
	DryRun    bool          `json:"dryRun,omitempty"`
}

func (o *rmOptions) run(cmd *cobra.Command, args []string) (err error) {
	all, err := o.openExisting(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	going, err := o.choose(cmd, all, args)
	if err != nil {
		return err
	}
	meant, err := meantNames(cmd.Context(), all, going)
	if err != nil {
		return err
	}
	var frees []int64
	var unsure error
	if o.dryRun {
		if frees, unsure = all.Frees(cmd.Context(), kept(going)...); frees == nil {
			return unsure
		}
	}
	var sum int64
	for i, m := range going {
		out, err := o.describe(cmd, all, m)
		if err != nil {
			return err
		}
		if o.dryRun {
			out.Frees = frees[i]
			sum += frees[i]
		} else if err := all.Take(cmd.Context(), m.Kept); err != nil {
			return err
		}
		if err := o.report(cmd, m, out); err != nil {
			return err
		}
	}
	if !o.dryRun {
		if err := tellMeanings(cmd, all, cid.Undef, meant...); err != nil {
			return err
		}
	}
	switch {
	case o.json:
	case o.dryRun:
		fmt.Fprintf(cmd.ErrOrStderr(), "%d would go, and free %s that nothing else needs\n", len(going), oci.BytesText(sum))
	case len(going) > 0:
		fmt.Fprintln(cmd.ErrOrStderr(), stayText(all))
	}
	if unsure != nil {
		return fmt.Errorf("what goes would free other than was told, since not all that stays could be read (image2ipfs verify --all): %w", unsure)
	}
	return nil
}

// meantNames are the names that mean what is going.
func meantNames(ctx context.Context, all stores, going []local.Match) (names []string, err error) {
	for _, m := range going {
		names = append(names, m.Names...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	means, err := all.Meanings(ctx, names...)
	return slices.DeleteFunc(names, func(n string) bool {
		return !slices.ContainsFunc(going, func(m local.Match) bool { return m.CID.Equals(means[n].Root) })
	}), err
}

func kept(of []local.Match) (all []local.Kept) {
	all = []local.Kept{}
	for _, m := range of {
		all = append(all, m.Kept)
	}
	return all
}

// stayText says until when what was unpublished is on disk.
func stayText(all stores) string {
	const gone = "servers no longer find it by name; its blobs stay on disk until image2ipfs gc"
	if all.kubo != nil {
		return gone + ", and in Kubo, which gives them on request, until ipfs repo gc"
	}
	return gone
}

// choose lists the roots that are to go, each once; none go before all arguments are
// understood.
func (o *rmOptions) choose(cmd *cobra.Command, all stores, args []string) (going []local.Match, err error) {
	ctx := cmd.Context()
	if o.byRules() {
		meant, err := meantBy(all.own)
		if err != nil {
			return nil, err
		}
		going, staying, err := all.Retain(ctx, local.Retention{Names: args, Match: o.match, Untagged: o.untagged, Keep: o.keep, Older: time.Duration(o.older), Meant: meant}, time.Now())
		if errors.Is(err, local.ErrPattern) {
			return nil, usageError{fmt.Errorf("--match: %w", err)}
		}
		if err == nil && !o.json {
			tellStaying(cmd, staying)
		}
		return going, err
	}
	for _, arg := range args {
		found, err := listedOrLoose(ctx, all, arg)
		if !o.all {
			var m local.Match
			m, err = onlyOne(arg, found, err, "; or --keep 1 for all but the newest, --all for all:")
			found = []local.Match{m}
		}
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if m.Loose == nil {
				m.CID = m.Name.Root // also where a damaged record keeps it
			}
			if err := all.IsKept(ctx, m); err != nil {
				return nil, err
			}
			if err := o.checkMoving(all, m); err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(going, func(other local.Match) bool { return other.CID.Equals(m.CID) }) {
				going = append(going, m)
			}
		}
	}
	return going, nil
}

// listedOrLoose finds what an argument of ls, or of ls --all, means.
func listedOrLoose(ctx context.Context, all stores, arg string) ([]local.Match, error) {
	found, err := all.FindAllListed(ctx, arg)
	if errors.Is(err, oci.ErrNotFound) && strings.Contains(arg, "@") {
		if m, failed := all.FindLoose(ctx, arg); !errors.Is(failed, oci.ErrNotFound) {
			return []local.Match{m}, failed
		}
	}
	return found, err
}

// tellStaying says what was chosen and stays, by the reason.
func tellStaying(cmd *cobra.Command, staying []local.Staying) {
	for len(staying) > 0 {
		why := staying[0].Why
		var same []local.Match
		var others []local.Staying
		for _, s := range staying {
			if s.Why == why {
				same = append(same, s.Match)
			} else {
				others = append(others, s)
			}
		}
		shown := same[:min(len(same), mostTold)]
		fmt.Fprintf(cmd.ErrOrStderr(), "stays, since %s:\n%s\n", why, datedRoots(shown))
		if more := len(same) - len(shown); more > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "  and %d more\n", more)
		}
		staying = others
	}
}

// describe says what goes with a root.
func (o *rmOptions) describe(cmd *cobra.Command, all stores, m local.Match) (removed, error) {
	if m.Loose != nil {
		return removed{Manifest: m.Loose.String(), Names: []string{}, Published: &m.Published, Size: m.Size, DryRun: o.dryRun}, nil
	}
	names, err := all.Doomed(cmd.Context(), m.Name)
	if err != nil {
		return removed{}, err
	}
	if names == nil {
		names = m.Names
	}
	out := removed{Root: ref.Spell(m.CID), Names: asListed(names, m.Names), Size: m.Size, DryRun: o.dryRun}
	if !m.Published.IsZero() {
		out.Published = &m.Published
	}
	return out, nil
}

// asListed gives names of a layout, which have no host, as ls prints those that do.
func asListed(names, listed []string) []string {
	all := []string{}
	for _, n := range names {
		i := slices.IndexFunc(listed, func(l string) bool { return ref.TrimHost(l) == n })
		if i >= 0 && !slices.Contains(listed, n) {
			n = listed[i]
		}
		all = append(all, n)
	}
	return all
}

// report prints what has gone, or would go.
func (o *rmOptions) report(cmd *cobra.Command, m local.Match, out removed) error {
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(out)
	}
	size, published := sizeAndDate(m.Kept)
	switch names := oci.Quoted(cmp.Or(out.Manifest, strings.Join(out.Names, ", "))); {
	case o.dryRun:
		fmt.Fprintf(cmd.ErrOrStderr(), "would unpublish %s (%s, of %s), which frees %s\n", orDash(names), size, published, oci.BytesText(out.Frees))
	case names != "":
		fmt.Fprintf(cmd.ErrOrStderr(), "unpublished %s (%s, of %s)\n", names, size, published)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), keptText(m.Kept))
	return err
}
