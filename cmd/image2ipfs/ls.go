package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

func newLs() *cobra.Command {
	opts := &storeOptions{}
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List what was published",
		Example: `  image2ipfs ls
  image2ipfs ls --json | jq -r '.[].root.cidv1'
  image2ipfs ls -q | xargs -n 1 image2ipfs verify`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			roots, err := all.Roots(cmd.Context())
			if local.IsFatal(err) {
				return err
			}
			return errors.Join(printRoots(cmd, roots, asJSON, quiet), err, tellForeign(cmd, all.own))
		},
	}
	opts.storeFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print roots only")
	return cmd
}

// listed is the JSON form of a published root.
type listed struct {
	Root      ref.Spellings `json:"root"`
	Names     []string      `json:"names"`
	Published *time.Time    `json:"published,omitempty"`
	Size      int64         `json:"size,omitempty"`
	Store     string        `json:"store"`
}

func printRoots(cmd *cobra.Command, roots []local.Kept, asJSON, quiet bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		list := []listed{}
		for _, r := range roots {
			l := listed{Root: ref.Spell(r.CID), Names: append([]string{}, r.Names...), Size: r.Size, Store: r.Store.String()}
			if !r.Published.IsZero() {
				l.Published = &r.Published
			}
			list = append(list, l)
		}
		return json.NewEncoder(out).Encode(list)
	}
	if quiet {
		for _, r := range roots {
			fmt.Fprintln(out, ref.Ciq(r.CID))
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROOT\tIMAGES\tSIZE\tPUBLISHED\tSTORE")
	for _, r := range roots {
		names := orDash(oci.Quoted(strings.Join(r.Names, ", ")))
		size, published := sizeAndDate(r)
		store, _, _ := strings.Cut(r.Store.String(), " ") // "embedded store …", "Kubo …"
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", ref.Ciq(r.CID), names, size, published, store)
	}
	return w.Flush()
}
