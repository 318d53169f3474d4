package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

func newLs() *cobra.Command {
	opts := &storeOptions{}
	var asJSON, quiet, everything bool
	cmd := &cobra.Command{
		Use:     "ls [NAME]",
		Aliases: []string{"list"},
		Short:   "List what was published",
		Long: `List what was published. With NAME, a local name such as app:1 or the repository app,
list what that is and what it was before, the latest first: by a push, by publish or
by tag. With --all manifests that were pushed by digest and that no image has are listed,
too, without a root, as REPOSITORY@DIGEST; rm --untagged takes them away.

Each command takes names as they are listed here, all of them: example.com/app:1 and
app:1 are two. Those that read take a name with a registry's host in front that is none
here, such as quay.io/coreos/etcd:3 from docker images, for what follows the host, as
publish names it; rm, untag and pin rm, which take away, do not.`,
		Example: `  image2ipfs ls
  image2ipfs ls app
  image2ipfs ls --json | jq -r '.[].root.cidv1'
  image2ipfs ls -q | xargs -n 1 image2ipfs verify`,
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			roots, err := all.Roots(cmd.Context())
			if local.IsFatal(err) {
				return err
			}
			if everything && len(args) > 0 {
				return usageError{errors.New("--all lists all that is kept, and takes no NAME")}
			}
			if everything {
				loose, unknown := all.Loose(cmd.Context())
				if local.IsFatal(unknown) {
					return unknown
				}
				roots, err = append(roots, loose...), cmp.Or(err, unknown) // a damaged root is told by both
			}
			if len(args) > 0 {
				return errors.Join(listNamed(cmd, all, args[0], roots, asJSON, quiet), err)
			}
			return errors.Join(printRoots(cmd, roots, asJSON, quiet), err, tellForeign(cmd, all.own))
		},
	}
	opts.storeFlags(cmd)
	cmd.Flags().BoolVar(&everything, "all", false, "list manifests that were pushed by digest and that no image has, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print roots only")
	return cmd
}

// listed is the JSON form of a published root.
type listed struct {
	Root      ref.Spellings `json:"root,omitzero"`
	Manifest  string        `json:"manifest,omitempty"` // in place of a root, "repository@digest"
	Names     []string      `json:"names"`
	Published *time.Time    `json:"published,omitempty"`
	Size      int64         `json:"size,omitempty"`
	Store     string        `json:"store"`
	Local     []localName   `json:"local,omitempty"`
}

// localName is what a root is or was by a local name.
type localName struct {
	Name    string        `json:"name"`
	Digest  digest.Digest `json:"digest"`
	By      string        `json:"by"`
	Since   time.Time     `json:"since"`
	Current bool          `json:"current"`
}

func newListed(r local.Kept) listed {
	l := listed{Manifest: looseText(r), Names: append([]string{}, r.Names...), Size: r.Size, Store: r.Store.String()}
	if r.Loose == nil {
		l.Root = ref.Spell(r.CID)
	}
	if !r.Published.IsZero() {
		l.Published = &r.Published
	}
	return l
}

func printRoots(cmd *cobra.Command, roots []local.Kept, asJSON, quiet bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		list := []listed{}
		for _, r := range roots {
			list = append(list, newListed(r))
		}
		return json.NewEncoder(out).Encode(list)
	}
	if quiet {
		for _, r := range roots {
			fmt.Fprintln(out, keptText(r))
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROOT\tIMAGES\tSIZE\tPUBLISHED\tSTORE")
	for _, r := range roots {
		root, names := ref.Ciq(r.CID), orDash(oci.Quoted(strings.Join(r.Names, ", ")))
		if r.Loose != nil {
			root, names = "-", oci.Quoted(r.Loose.String())
		}
		size, published := sizeAndDate(r)
		store, _, _ := strings.Cut(r.Store.String(), " ") // "embedded store …", "Kubo …"
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", root, names, size, published, store)
	}
	return w.Flush()
}

// listNamed lists what a local name is and was, or the roots that have a name that is
// none.
func listNamed(cmd *cobra.Command, all stores, arg string, roots []local.Kept, asJSON, quiet bool) error {
	type found struct {
		history []pushed.Local
		roots   []local.Match // where there is none
	}
	named, err := local.Typed(arg, func(name string) (f found, err error) {
		f.history, err = all.History(cmd.Context(), name)
		if errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, local.ErrNoNames) {
			f.roots, err = all.Called(cmd.Context(), name)
		}
		return f, err
	})
	if err != nil {
		return err
	}
	history := named.history
	if history == nil {
		var kept []local.Kept
		for _, m := range named.roots {
			if m.Store == nil {
				return local.NotPublished(m.Name.Root)
			}
			if err := all.Check(cmd.Context(), m.Name); err != nil {
				return err
			}
			kept = append(kept, m.Kept)
		}
		return printRoots(cmd, kept, asJSON, quiet)
	}
	out := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(out).Encode(withNames(roots, history))
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if !quiet {
		fmt.Fprintln(w, "NAME\tROOT\tDIGEST\tSINCE\tBY")
	}
	for _, h := range history {
		name := h.Name
		if !h.Current {
			name = "  before"
		}
		if quiet {
			fmt.Fprintln(out, ref.Ciq(h.Root))
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, ref.Ciq(h.Root), h.Digest, h.Since.Local().Format(time.DateTime), h.By)
	}
	return w.Flush()
}

// withNames are the roots of a history in its order, each once.
func withNames(roots []local.Kept, history []pushed.Local) []listed {
	list := []listed{}
	for _, h := range history {
		same := func(l listed) bool { return l.Root == ref.Spell(h.Root) }
		i := slices.IndexFunc(list, same)
		if i < 0 {
			k := slices.IndexFunc(roots, func(r local.Kept) bool { return r.CID.Equals(h.Root) })
			if k < 0 { // removed meanwhile
				continue
			}
			i = len(list)
			list = append(list, newListed(roots[k]))
		}
		list[i].Local = append(list[i].Local, localName{Name: h.Name, Digest: h.Digest, By: h.By, Since: h.Since, Current: h.Current})
	}
	return list
}
