package pushed

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// kindBeside is the kind of records of what stands beside pushed roots: in the space of
// a repository, by the CID of the pushed root.
const kindBeside = "beside"

func besideKey(repository string, root cid.Cid) ipfs.Key {
	return ipfs.Key{Kind: kindBeside, Space: repository, Name: root.String()}
}

// Beside is a store of which one publication is kept beside a root that was pushed to a
// repository, for as long as that: no tag is it, and the store lists it under no name.
// One that gives the same root leaves nothing.
func (g *Registry) Beside(repository string, root cid.Cid) ipfs.Store {
	return &beside{g.store, besideKey(repository, root), root}
}

type beside struct {
	ipfs.Recorder
	key  ipfs.Key
	root cid.Cid
}

// Begin implements [ipfs.Store].
func (b *beside) Begin(ctx context.Context) (ipfs.Tx, error) {
	tx, err := b.BeginRecords(ctx)
	if err != nil {
		return nil, err
	}
	return &besideTx{tx, b}, nil
}

type besideTx struct {
	ipfs.RecordTx
	of *beside
}

// Commit implements [ipfs.Tx].
func (t *besideTx) Commit(ctx context.Context, root ipfs.Root) (ipfs.Stats, error) {
	if root.CID.Equals(t.of.root) {
		return ipfs.Stats{}, t.Abort()
	}
	r, err := record(t.of.key, root.CID, noEnd, struct{}{})
	if err != nil {
		return ipfs.Stats{}, errors.Join(err, t.Abort())
	}
	return t.CommitRecords(ctx, nil, r)
}

// Recall implements [ipfs.Memory] where the store does.
func (t *besideTx) Recall(ctx context.Context, key string) (ipfs.Known, bool) {
	if m, ok := t.RecordTx.(ipfs.Memory); ok {
		return m.Recall(ctx, key)
	}
	return ipfs.Known{}, false
}

// Remember implements [ipfs.Memory].
func (t *besideTx) Remember(key string, k ipfs.Known) {
	if m, ok := t.RecordTx.(ipfs.Memory); ok {
		m.Remember(key, k)
	}
}

// FindBeside finds what stands beside a root that was pushed. The error matches
// [oci.ErrNotFound] when there is nothing.
func (g *Registry) FindBeside(ctx context.Context, root cid.Cid) (cid.Cid, error) {
	spaces, err := g.store.Spaces(ctx, kindBeside)
	if err != nil {
		return cid.Undef, err
	}
	for _, repository := range spaces {
		r, err := g.store.Record(ctx, besideKey(repository, root))
		if !errors.Is(err, oci.ErrNotFound) {
			return r.CID, err
		}
	}
	return cid.Undef, oci.ErrNotFound
}

// AllBeside lists all that stands beside pushed roots.
func (g *Registry) AllBeside(ctx context.Context) (all []cid.Cid, err error) {
	spaces, err := g.store.Spaces(ctx, kindBeside)
	for _, repository := range spaces {
		records, failed := g.store.Records(ctx, kindBeside, repository)
		err = errors.Join(err, failed)
		for _, r := range records {
			all = append(all, r.CID)
		}
	}
	return all, err
}
