package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

func newRef() *cobra.Command {
	opts := &storeOptions{}
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ref NAME",
		Short: "Convert a name between its spellings",
		Long: `Convert the root in a name between its spellings: ciq, CIDv0, CIDv1 in base32
and base36, and hex. NAME is any of them, or a whole pull name that contains one,
or the name of an image that was published or pushed here. What serve --recompress
made of one that was pushed is told beside it. Of a name that moves (k51…, /ipns/…) it
is the root that it means, as far as this store or Kubo knows: name resolve asks others.`,
		Example: `  image2ipfs ref ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi
  image2ipfs ref -f cidv1 localhost:5000/ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi/app`,
		Args: usage(exactly(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := opts.root(cmd, args[0])
			if err != nil {
				return err
			}
			s, out := ref.Spell(name.Root), cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(s)
			}
			rows := [][2]string{{"ciq", s.Ciq}, {"cidv0", s.V0}, {"cidv1", s.V1}, {"base36", s.Base36}, {"hex", s.Hex}}
			w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
			for _, row := range rows {
				switch {
				case format == row[0] && row[1] == "":
					return fmt.Errorf("a root that is not dag-pb has no %s spelling", format)
				case format == row[0]:
					_, err := fmt.Fprintln(out, row[1])
					return err
				case format == "" && row[1] != "":
					fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
				}
			}
			if format != "" {
				return usageError{fmt.Errorf("format %q: want ciq, cidv0, cidv1, base36 or hex", format)}
			}
			return w.Flush()
		},
	}
	opts.storeFlags(cmd)
	cmd.Flags().StringVarP(&format, "format", "f", "", "print one spelling only: ciq, cidv0, cidv1, base36 or hex")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"ciq", "cidv0", "cidv1", "base36", "hex"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// root gives the root that a name spells, or that an image of that name has here; of
// such a one more may be told.
func (o *storeOptions) root(cmd *cobra.Command, arg string) (_ ref.Name, err error) {
	ctx := cmd.Context()
	name, err := ref.ParseName(arg)
	if err == nil {
		return name, nil
	}
	all, failed := o.openExisting(ctx)
	if errors.Is(failed, ipfs.ErrNotFound) {
		return name, notPublished(arg, err)
	}
	if failed != nil {
		return name, failed
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	if moving, ok := new(movingOptions).parse(arg); ok {
		return o.findMoving(cmd, all, moving)
	}
	found, failed := all.Find(ctx, arg)
	if failed == nil && all.recorder != nil {
		failed = tellBeside(ctx, all, arg, found, cmd.ErrOrStderr())
	}
	if errors.Is(failed, ipfs.ErrNotFound) && !errors.Is(failed, oci.ErrManifestUnknown) { // which is about what is published
		return name, notPublished(arg, err)
	}
	return found, failed
}

// notPublished is the error about a name that spells no root, as err says, and of which no
// image is published here.
func notPublished(arg string, err error) error {
	const shortest = 46 // characters of a CID: what is as long is a misspelt one
	image, _, wrong := ref.CutDigest(arg)
	if wrong == nil {
		_, _, wrong = local.ParseName(image)
	}
	if wrong != nil || slices.ContainsFunc(strings.FieldsFunc(image, func(r rune) bool { return strings.ContainsRune("/:@", r) }), func(part string) bool { return len(part) >= shortest }) {
		return err
	}
	return fmt.Errorf("%w: %q has no CID in it, and no image of that name is published here; where it was pushed to another machine, ask there, or read Image2ipfs-Name in the answer to curl -sI https://HOST/v2/REPOSITORY/manifests/TAG", ipfs.ErrNotFound, arg)
}

// tellBeside tells what a pushed image was recompressed to.
func tellBeside(ctx context.Context, all stores, arg string, of ref.Name, tell io.Writer) error {
	beside, err := pushed.New(all.recorder, pushed.Options{}).FindBeside(ctx, of.Root)
	if errors.Is(err, ipfs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(tell, "%s is recompressed as %s\n", arg, ref.Ciq(beside))
	return err
}
