package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/legacy"
	"github.com/image2ipfs/image2ipfs/source"
)

// convertOptions are the flags of convert: those of publish, and where the old
// tree may be fetched from.
type convertOptions struct {
	publishOptions
	gateways []string
}

func newConvert() *cobra.Command {
	opts := &convertOptions{}
	cmd := &cobra.Command{
		Use:   "convert CID",
		Short: "Publish anew, as an OCI layout, what image2ipfs before 0.2.0 published",
		Long: `Publish anew, as an OCI layout, what image2ipfs 0.0.1 to 0.1.0 published, and
print the name to pull it by.

Images with schema 1 manifests (0.0.2, 0.0.3), which no engine pulls any more,
get a config made of their history. Those of 0.1.0 get a manifest whose digests
are right. All others keep their digests. Layers keep their bytes, unless
--recompress is given. The old tree is read from the own store, Kubo or IPFS
gateways, none of which is trusted, and stays as it is.`,
		Example: `  image2ipfs convert 122031de4400a431ac98465c9600f13ea8087e896bd7227a3e6617489a9c095c38b1
  image2ipfs convert --gateway http://127.0.0.1:8080 ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi`,
		Args: usage(exactly(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0]) },
	}
	opts.flags(cmd)
	cmd.Flags().StringSliceVar(&opts.gateways, "gateway", nil, "IPFS gateway to fetch from; may be given several times (default: $"+gatewayEnv+")")
	return cmd
}

func (o *convertOptions) run(cmd *cobra.Command, arg string) (err error) {
	ctx := cmd.Context()
	name, err := ref.ParseName(arg)
	if err != nil {
		return err
	}
	all, err := o.openAll(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	from, err := (&sourceOptions{storeOptions: o.storeOptions, gateways: o.gateways}).blocks(all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	tree, err := legacy.OpenToConvert(ctx, from, name.Root)
	if errors.Is(err, legacy.ErrLayout) {
		err = usageError{err}
	}
	if err != nil {
		return err
	}
	var stream *legacy.Stream
	err = o.publishAll(cmd, []opener{func(ctx context.Context) (*source.Source, error) {
		stream = tree.Stream(ctx)
		return source.Of(archive.Stream(ref.Ciq(name.Root), stream)), nil
	}})
	if err != nil && stream != nil && stream.Cause() != nil {
		return stream.Cause()
	}
	return err
}
