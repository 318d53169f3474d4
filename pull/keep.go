package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

const (
	keepParallel = 3  // blobs that are fetched at once
	keepAhead    = 32 // blocks of each that are asked for at once
)

// Keep copies the whole layout l from wherever its blocks are to a store, and
// publishes it there under the names that it has, as pinned by command. Blobs are read from the start
// on, so that sources can stream them. Errors match those of from and to.
func Keep(ctx context.Context, from *sources.Set, to ipfs.Store, l *layout.Layout) (stats ipfs.Stats, err error) {
	root, err := rootOf(ctx, l)
	if err != nil {
		return stats, err
	}
	tx, err := to.Begin(ctx)
	if err != nil {
		return stats, err
	}
	defer func() { err = errors.Join(err, tx.Abort()) }()
	k := keeper{from: from, to: tx}
	blobs, err := k.blobs(ctx, l.Files())
	if err != nil {
		return stats, err
	}
	if err := ipfs.Copy(ctx, withLayoutFile{from}, tx, root.CID, blobs...); err != nil {
		return stats, err
	}
	return tx.Commit(ctx, root)
}

// withLayoutFile is a getter that has the oci-layout file as well. Its content is
// the same in every layout, and nobody who pulls an image reads it: where an
// image was only pulled through, that block may be the only one missing.
type withLayoutFile struct{ ipfs.Getter }

// Get implements [ipfs.Getter].
func (g withLayoutFile) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Type() == cid.Raw && ipfs.VerifyBlock(c, oci.LayoutFile) == nil {
		return oci.LayoutFile, nil
	}
	return g.Getter.Get(ctx, c)
}

// rootOf describes a layout as it is to be published.
func rootOf(ctx context.Context, l *layout.Layout) (ipfs.Root, error) {
	root := ipfs.Root{CID: l.Files().Root, Names: []string{}, Published: time.Now().UTC().Truncate(time.Millisecond), Pinned: true}
	lines, err := l.Lines(ctx)
	if err != nil {
		return root, err
	}
	for _, line := range lines {
		if line.Name != "" {
			root.Names = append(root.Names, line.Name)
		}
	}
	needed, err := l.Reachable(ctx, l.Files().Index.Manifests...)
	if err != nil {
		return root, err
	}
	for _, b := range needed.Blobs {
		root.Size += b.Size
	}
	return root, nil
}

// keeper copies blocks into a publication.
type keeper struct {
	from *sources.Set
	mu   sync.Mutex // of to
	to   ipfs.Tx
}

// blobs copies all blobs of a layout, and tells where they are.
func (k *keeper) blobs(ctx context.Context, l *ipfs.Layout) (done []cid.Cid, err error) {
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(keepParallel)
	err = l.Blobs(inner, func(d digest.Digest, c cid.Cid) error {
		done = append(done, c)
		g.Go(func() error {
			if err := k.blob(inner, c); err != nil {
				return fmt.Errorf("blob %s: %w", d, err)
			}
			return nil
		})
		return inner.Err()
	})
	if failed := g.Wait(); failed != nil { // the cause of err, too
		err = failed
	}
	return done, err
}

// blob copies the blocks of one file.
func (k *keeper) blob(ctx context.Context, c cid.Cid) (err error) {
	dag := k.from.DAG(c)
	defer func() { err = errors.Join(err, dag.Close()) }()
	f, err := ipfs.OpenFile(ctx, &keptDAG{dag, k}, c, keepAhead)
	if err != nil {
		return err
	}
	dag.Stream()
	_, err = f.WriteTo(io.Discard)
	return errors.Join(err, f.Close())
}

// keptDAG keeps every block that is read from it.
type keptDAG struct {
	*sources.DAG
	keeper *keeper
}

// Get implements [ipfs.Getter].
func (d *keptDAG) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := d.DAG.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	d.keeper.mu.Lock()
	defer d.keeper.mu.Unlock()
	return data, d.keeper.to.Put(ctx, c, data)
}
