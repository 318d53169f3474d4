package pushed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// weaver changes what a repository has: it puts manifests into it, takes them out, and
// makes the roots that come of it, in one transaction.
type weaver struct {
	g          *Registry
	ctx        context.Context
	repository string
	tx         ipfs.RecordTx
	from       *ipfs.Layout             // of which images become the repository's, too; nil when they are pushed
	found      map[digest.Digest]found  // what was looked up, and what is being pushed
	tagged     map[string]digest.Digest // tags of referrers that are being set, or with "" taken away
	subject    digest.Digest            // of what is being pushed
	pushed     digest.Digest
	deleted    digest.Digest // that is being taken out
	size       int64         // bytes of what is being pushed, with all that it reaches
	atOnce     bool          // blobs that nothing needs any more go now, and not a day later
	moved      bool          // one of its tags had a root before
	release    func()        // what is held of the manifest that was read last; nil for nothing

	made    []Root
	fallen  []cid.Cid
	roots   []ipfs.Root   // to be kept
	records []ipfs.Record // to be kept, in this order
	blobs   []ipfs.Key    // that no manifest needs any more
	orphans []cid.Cid     // roots that go unless another name has them
}

func (g *Registry) weaver(ctx context.Context, repository string, tx ipfs.RecordTx) *weaver {
	return &weaver{g: g, ctx: ctx, repository: repository, tx: tx, found: map[digest.Digest]found{}, tagged: map[string]digest.Digest{}}
}

// commit makes all of it last. Without records there is nothing to do.
func (w *weaver) commit() (Result, error) {
	result := Result{Roots: w.made, Fallen: w.fallen, Size: w.size}
	if len(w.records) == 0 {
		return result, w.tx.Abort()
	}
	stats, err := w.tx.CommitRevised(w.ctx, both, w.roots, w.records...)
	if w.pushed == "" || err != nil {
		return result, err
	}
	if result.NewBytes, result.Unshared = w.news(stats); !w.moved {
		result.Unshared = nil
	}
	return result, nil
}

// change runs fn with the lock of a repository, which is to end in a commit, and then
// forgets the records that fn has put aside, and lets go of blobs and orphans.
func (g *Registry) change(ctx context.Context, repository string, fn func(w *weaver) (forget []ipfs.Key, err error)) (result Result, err error) {
	unlock, err := g.store.LockSpace(ctx, repository)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	tx, err := g.store.BeginRecords(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, tx.Abort()) }() // after a commit it does nothing
	w := g.weaver(ctx, repository, tx)
	defer w.let()
	forget, err := fn(w)
	if err == nil {
		result, err = w.commit()
	}
	if err == nil {
		err = g.store.Forget(ctx, forget...)
	}
	if err == nil {
		err = w.letGo()
	}
	return result, err
}

// letGo ends the keeping of blobs and orphans.
func (w *weaver) letGo() error {
	grace := Alone
	if w.atOnce {
		grace = 0
	}
	err := w.g.release(w.ctx, grace, w.blobs...)
	for _, c := range w.orphans {
		gone, failed := w.g.store.RemoveIf(w.ctx, c, func(r ipfs.Root) (bool, error) { return w.g.isFree(w.ctx, r) })
		if gone {
			failed = w.g.store.Forget(w.ctx, besideKey(w.repository, c))
		}
		if failed != nil && !errors.Is(failed, oci.ErrNotFound) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// found is a content of the repository.
type found struct {
	link
	mediaType string // of a manifest
	data      []byte // of one that is not in the store yet
	passing   bool   // no manifest of the repository needs it so far
}

// keep has a manifest stay, with all that it reaches; hold is the blobs/ of a layout of
// these. Errors are those of [oci.Walk].
func (w *weaver) keep(desc ocispec.Descriptor, subject digest.Digest) (hold cid.Cid, err error) {
	needed, err := oci.Walk(w.ctx, w, oci.NewIndex([]ocispec.Descriptor{desc}))
	if err != nil {
		return cid.Undef, err
	}
	blobs, size, err := w.files(needed)
	if err != nil {
		return cid.Undef, err
	}
	if desc.Digest == w.pushed {
		w.size = size
	}
	tree, err := ipfs.AddTree(w.ctx, w.tx, blobs)
	if err != nil {
		return cid.Undef, err
	}
	add := func(k ipfs.Key, c cid.Cid, v any) {
		r, failed := record(k, c, noEnd, v)
		w.records, err = append(w.records, r), errors.Join(err, failed)
	}
	for _, part := range needed.Blobs {
		f := w.found[part.Digest]
		if _, inline := needed.Inline[part.Digest]; inline || f.passing && f.mediaType == "" {
			add(blobKey(w.repository, part.Digest), f.CID, f.link)
			f.passing = false
			w.found[part.Digest] = f
		}
	}
	d := desc.Digest
	add(manifestKey(w.repository, d), tree.CID, manifestValue{MediaType: desc.MediaType, File: w.found[d].link, Subject: subject, Pushed: now()})
	if subject != "" {
		add(referrerKey(w.repository, subject, d), tree.CID, struct{}{})
	}
	return tree.CID, err
}

// Manifest implements [oci.Contents]. What it gives is held until the next is asked for.
func (w *weaver) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	f, err := w.look(desc.Digest)
	if err != nil || f.data != nil {
		return f.data, err
	}
	w.let()
	data, err := w.g.content(ctx, desc.Digest, f.link)
	if err == nil {
		w.release, err = ipfs.HoldDecoding(ctx, data)
	}
	return data, err
}

// let gives back what is held of the manifest that was read last.
func (w *weaver) let() {
	if w.release != nil {
		w.release()
		w.release = nil
	}
}

// Size implements [oci.Contents].
func (w *weaver) Size(_ context.Context, d digest.Digest) (int64, error) {
	f, err := w.look(d)
	return f.Size, err
}

// look finds a content of the repository, or of the layout that images are taken from.
func (w *weaver) look(d digest.Digest) (found, error) {
	if f, ok := w.found[d]; ok {
		return f, nil
	}
	f, err := w.recorded(d)
	if errors.Is(err, oci.ErrNotFound) && w.from != nil {
		var l ipfs.Link
		l, err = w.from.Blob(w.ctx, d)
		f = found{link: link(l), passing: true}
	}
	if err == nil {
		w.found[d] = f
	}
	return f, err
}

func (w *weaver) recorded(d digest.Digest) (found, error) {
	if d == w.deleted {
		return found{}, oci.ErrNotFound
	}
	_, v, err := read[manifestValue](w.ctx, w.g.store, manifestKey(w.repository, d))
	if err == nil || !errors.Is(err, oci.ErrNotFound) {
		return found{link: v.File, mediaType: v.MediaType}, err
	}
	r, l, err := read[link](w.ctx, w.g.store, blobKey(w.repository, d))
	return found{link: l, passing: !r.Until.IsZero()}, err
}

// files are the blobs that are needed, by path below blobs/, and their bytes.
func (w *weaver) files(needed *oci.Reachable) (files map[string]ipfs.Link, size int64, err error) {
	files = map[string]ipfs.Link{}
	for _, desc := range needed.Blobs {
		f := w.found[desc.Digest]
		if data, inline := needed.Inline[desc.Digest]; inline && !f.CID.Defined() {
			l, err := ipfs.AddFile(w.ctx, w.tx, bytes.NewReader(data))
			if err != nil {
				return nil, 0, err
			}
			f.link = link(l)
			w.found[desc.Digest] = f
		}
		files[path.Join(desc.Digest.Algorithm().String(), desc.Digest.Encoded())] = ipfs.Link(f.link)
		size += f.Size
	}
	return files, size, nil
}

// layout puts a layout into the transaction.
func (w *weaver) layout(index ocispec.Index, needed *oci.Reachable) (Root, error) {
	blobs, size, err := w.files(needed)
	if err != nil {
		return Root{}, err
	}
	indexJSON, err := json.Marshal(index)
	if err != nil {
		return Root{}, err
	}
	entries := map[string]ipfs.Link{}
	for name, data := range map[string][]byte{ocispec.ImageLayoutFile: oci.LayoutFile, ocispec.ImageIndexFile: indexJSON} {
		if entries[name], err = ipfs.AddFile(w.ctx, w.tx, bytes.NewReader(data)); err != nil {
			return Root{}, err
		}
	}
	if entries[ocispec.ImageBlobsDir], err = ipfs.AddTree(w.ctx, w.tx, blobs); err != nil {
		return Root{}, err
	}
	root, err := ipfs.AddDirectory(w.ctx, w.tx, entries)
	return Root{CID: root.CID, Size: size}, err
}
