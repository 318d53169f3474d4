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

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// diskUsage is the JSON form of what takes how much.
type diskUsage struct {
	Images []imageUsage `json:"images"`
	Bytes  int64        `json:"bytes"`
	Disk   int64        `json:"disk,omitempty"`
	Cache  int64        `json:"cache,omitempty"`
}

// imageUsage is what one root takes.
type imageUsage struct {
	Root      ref.Spellings `json:"root,omitzero"`
	Manifest  string        `json:"manifest,omitempty"` // in place of a root, "repository@digest"
	Names     []string      `json:"names"`
	Bytes     int64         `json:"bytes"`
	Alone     int64         `json:"alone"`
	Shared    int64         `json:"shared"`
	Published *time.Time    `json:"published,omitempty"`
	Used      *time.Time    `json:"used,omitempty"`
	Store     string        `json:"store"`
	Error     string        `json:"error,omitempty"`
}

func newDu() *cobra.Command {
	opts := &storeOptions{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "du [NAME...]",
		Short: "Tell how much space images take, alone and shared",
		Long: `Tell how much space images take: all bytes of their blocks, those that no other image
has, which rm and gc would free, and those that others have as well; the largest alone
first. A manifest that was pushed by digest and that no image has counts as one, without
a root. With NAME only those images are listed, compared with all that is kept. The last
lines say how many bytes that is in all, each once, and how large the embedded store and
its cache of what came from peers are on disk. A server notes when an image was pulled
from it (USED).`,
		Example: `  image2ipfs du
  image2ipfs du app
  image2ipfs du --json | jq -r '.images[] | select(.alone > 1e9) | .root.cidv1'`,
		Args:              usage(cobra.ArbitraryArgs),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			return runDu(cmd, all, args, asJSON)
		},
	}
	opts.storeFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func runDu(cmd *cobra.Command, all stores, args []string, asJSON bool) error {
	wanted := map[string]bool{}
	for _, arg := range args {
		found, err := all.FindAll(cmd.Context(), arg)
		if err != nil {
			return err
		}
		for _, m := range found {
			if m.Store == nil {
				return local.NotPublished(m.Name.Root)
			}
			if err := all.Check(cmd.Context(), m.Name); err != nil {
				return err
			}
			wanted[m.CID.KeyString()] = true
		}
	}
	usages, total, damaged := all.Usage(cmd.Context())
	if local.IsFatal(damaged) {
		return damaged
	}
	out := diskUsage{Images: []imageUsage{}, Bytes: total}
	var unread error
	for _, u := range usages {
		if len(args) > 0 && !wanted[u.CID.KeyString()] {
			continue
		}
		out.Images = append(out.Images, newImageUsage(all, u))
		unread = errors.Join(unread, u.Err)
	}
	slices.SortStableFunc(out.Images, func(a, b imageUsage) int { return int(max(-1, min(1, b.Alone-a.Alone))) })
	if all.own != nil {
		var err error
		if out.Disk, err = all.own.DiskUsage(); err != nil {
			return err
		}
		if out.Cache, err = all.own.CacheSize(); err != nil {
			return err
		}
	}
	if asJSON {
		return errors.Join(json.NewEncoder(cmd.OutOrStdout()).Encode(out), damaged, unread)
	}
	return errors.Join(printUsage(cmd, out, all.own != nil), damaged, unread)
}

func newImageUsage(all stores, u local.Usage) imageUsage {
	l := newListed(u.Kept)
	out := imageUsage{Root: l.Root, Manifest: l.Manifest, Names: l.Names, Bytes: u.Bytes, Alone: u.Alone, Shared: u.Shared(), Published: l.Published, Store: l.Store}
	if u.Err != nil {
		out.Error = u.Err.Error()
	}
	if all.own != nil {
		of := []cid.Cid{u.CID}
		if u.Loose != nil {
			of = u.Loose.Holds
		}
		for _, c := range of {
			if used := all.own.LastUse(c); !used.IsZero() && (out.Used == nil || used.After(*out.Used)) {
				out.Used = &used
			}
		}
	}
	return out
}

func printUsage(cmd *cobra.Command, all diskUsage, embedded bool) error {
	out := cmd.OutOrStdout()
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROOT\tIMAGES\tBYTES\tALONE\tSHARED\tUSED")
	for _, u := range all.Images {
		used := "-"
		if u.Used != nil {
			used = u.Used.Local().Format(time.DateTime)
		}
		names := cmp.Or(u.Manifest, strings.Join(u.Names, ", "))
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", orDash(rootText(u.Root)), orDash(oci.Quoted(names)), oci.BytesText(u.Bytes), oci.BytesText(u.Alone), oci.BytesText(u.Shared), used)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nall images, each block once: %s\n", oci.BytesText(all.Bytes))
	if embedded {
		fmt.Fprintf(out, "embedded store on disk: %s (gc frees what no image needs), cache: %s\n", oci.BytesText(all.Disk), oci.BytesText(all.Cache))
	}
	return nil
}

// rootText is the spelling of a root in lists.
func rootText(s ref.Spellings) string {
	return cmp.Or(s.Ciq, s.V1)
}
