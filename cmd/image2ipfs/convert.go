package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/legacy"
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
		Args: usage(cobra.ExactArgs(1)),
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
	tree, err := openTree(ctx, from, name.Root)
	if err != nil {
		return err
	}
	stream := &treeStream{}
	err = o.publishAll(cmd, []opener{func(ctx context.Context) (*archive.Archive, error) {
		stream.start(ctx, tree)
		return archive.Stream(ref.Ciq(name.Root), stream), nil
	}})
	if err != nil && stream.err != nil { // the cause
		return stream.err
	}
	return err
}

// openTree opens an old tree; what is none gets an error that says what it is.
func openTree(ctx context.Context, from ipfs.Getter, root cid.Cid) (*legacy.Tree, error) {
	_, err := ipfs.OpenLayout(ctx, from, root)
	switch {
	case err == nil:
		return nil, usageError{fmt.Errorf("%s is an OCI layout already: pull it as it is", ref.Ciq(root))}
	case !errors.Is(err, ipfs.ErrNoLayout):
		return nil, err
	}
	// How large layers are does not matter here.
	size := func(ctx context.Context, c cid.Cid) (int64, error) {
		n, _, err := legacy.QuickSize(ctx, from, c)
		return max(n, 1), err
	}
	tree, err := legacy.Open(ctx, from, root, size)
	if errors.Is(err, ipfs.ErrNotFound) {
		return nil, fmt.Errorf("%s is neither an OCI layout nor what older versions published: %w", ref.Ciq(root), err)
	}
	return tree, err
}

// treeStream is an old tree being read as an archive.
type treeStream struct {
	*io.PipeReader
	err  error // of the writer; valid after Close
	done chan struct{}
}

func (s *treeStream) start(ctx context.Context, tree *legacy.Tree) {
	r, w := io.Pipe()
	s.PipeReader, s.done = r, make(chan struct{})
	go func() {
		defer close(s.done)
		err := tree.WriteArchive(ctx, w)
		if err != nil && !errors.Is(err, io.ErrClosedPipe) { // closed: the reader has a reason of its own
			s.err = err
		}
		w.CloseWithError(err)
	}()
}

// Close ends the writer and waits for it.
func (s *treeStream) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}
