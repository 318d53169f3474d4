package pushed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Upload is a blob that is being pushed. It goes into the store as it comes, hashed
// and cut on the way, and holds a few blocks in memory from the first byte on. It is
// not safe for concurrent use; Commit or Cancel ends it.
type Upload struct {
	g          *Registry
	ctx        context.Context
	repository string
	algorithm  digest.Algorithm
	size       int64
	run        *run // nil before the first byte
}

// run is what works on an upload that has begun.
type run struct {
	tx     ipfs.RecordTx
	to     *io.PipeWriter
	hash   hash.Hash
	chunks chan []byte   // to be hashed
	hashed chan struct{} // one for each
	done   chan struct{} // closed when link and err are set
	link   ipfs.Link
	err    error
}

// Begin starts an upload to a repository that lives as long as ctx; its digest will
// be of this algorithm, or costs reading the blob again.
func (g *Registry) Begin(ctx context.Context, repository string, algorithm digest.Algorithm) *Upload {
	return &Upload{g: g, ctx: ctx, repository: repository, algorithm: algorithm}
}

// Size is how many bytes have come.
func (u *Upload) Size() int64 { return u.size }

// Write implements io.Writer. Errors are those of the store.
func (u *Upload) Write(p []byte) (int, error) {
	if err := u.start(); err != nil {
		return 0, err
	}
	u.run.chunks <- p
	n, err := u.run.to.Write(p)
	<-u.run.hashed
	u.size += int64(n)
	return n, err
}

func (u *Upload) start() error {
	if u.run != nil {
		return nil
	}
	tx, err := u.g.store.BeginRecords(u.ctx)
	if err != nil {
		return err
	}
	from, to := io.Pipe()
	r := &run{
		tx: tx, to: to, hash: u.algorithm.Hash(),
		chunks: make(chan []byte), hashed: make(chan struct{}), done: make(chan struct{}),
	}
	u.run = r
	go func() {
		for p := range r.chunks {
			r.hash.Write(p) // a hash never fails
			r.hashed <- struct{}{}
		}
	}()
	go func() {
		defer close(r.done)
		r.link, r.err = ipfs.AddFile(u.ctx, tx, from)
		from.CloseWithError(r.err) // nil means that all was read
	}()
	return nil
}

// end waits for what works on the upload; why tells what became of it, nil for its
// regular end.
func (r *run) end(why error) {
	r.to.CloseWithError(why)
	<-r.done
	close(r.chunks)
}

// errCanceled is what becomes of the file of a canceled upload.
var errCanceled = errors.New("the upload was canceled")

// Cancel throws away what has come.
func (u *Upload) Cancel() error {
	if u.run == nil {
		return nil
	}
	u.run.end(errCanceled)
	err := u.run.tx.Abort()
	u.run = nil
	return err
}

// ErrDigest is matched by errors about a content that is not what its digest says.
var ErrDigest = fmt.Errorf("digest does not match: %w", oci.ErrCorrupt)

// Commit ends the upload as the blob d of its repository: when it returns, that is
// safe on disk. The error matches [ErrDigest] when it is another content, and then,
// as after any other, nothing of it is left.
func (u *Upload) Commit(ctx context.Context, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return errors.Join(fmt.Errorf("%w: %q: %w", ErrDigest, d, err), u.Cancel())
	}
	if err := u.start(); err != nil {
		return err
	}
	r := u.run
	u.run = nil
	r.end(nil)
	err := r.err
	if got := digest.NewDigest(u.algorithm, r.hash); err == nil && d.Algorithm() == u.algorithm && got != d {
		err = fmt.Errorf("%w: expected %s, the %d bytes that came have %s", ErrDigest, d, u.size, got)
	}
	if err != nil {
		return errors.Join(err, r.tx.Abort())
	}
	if d.Algorithm() != u.algorithm { // of which nothing is known yet
		return u.g.rehash(ctx, r.tx, u.repository, d, link(r.link))
	}
	return u.g.keepBlob(ctx, r.tx, blobKey(u.repository, d), link(r.link))
}

// rehash ends a transaction with a file of which the digest was not found on the way. It
// is kept under no digest until it has been read again and has the one that was asked for.
func (g *Registry) rehash(ctx context.Context, arrived ipfs.RecordTx, repository string, d digest.Digest, l link) (err error) {
	hold, err := record(ipfs.Key{Kind: kindArrived, Space: repository, Name: rand.Text()}, l.CID, now().Add(Alone), struct{}{})
	if err != nil {
		return errors.Join(err, arrived.Abort())
	}
	stats, err := arrived.CommitRecords(ctx, nil, hold)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.store.Forget(context.WithoutCancel(ctx), hold.Key)) }()
	tx, err := g.store.BeginRecords(ctx) // before the file is read: what is there then is there in the end
	if err != nil {
		return err
	}
	got := d.Algorithm().Hash()
	f, err := ipfs.OpenFile(ctx, g.store, l.CID, 0)
	if err == nil {
		_, err = io.Copy(got, f)
		err = errors.Join(err, f.Close())
	}
	if found := digest.NewDigest(d.Algorithm(), got); err == nil && found != d {
		err = fmt.Errorf("%w: expected %s, the %d bytes that came have %s", ErrDigest, d, l.Size, found)
	}
	if err != nil {
		return errors.Join(err, tx.Abort())
	}
	key := blobKey(repository, d)
	if err := g.keepBlob(ctx, tx, key, l); err != nil {
		return err
	}
	g.arrived.add(key, stats.NewBytes)
	return nil
}

// Mount makes a blob of one repository one of another, too (distribution-spec,
// "Mounting a blob from another repository"). The error matches [oci.ErrNotFound]
// when the first does not have it, or not as it should be: an upload puts it right.
func (g *Registry) Mount(ctx context.Context, from, to string, d digest.Digest) error {
	tx, err := g.store.BeginRecords(ctx)
	if err != nil {
		return err
	}
	l, err := g.blob(ctx, from, d)
	if err == nil {
		err = whole(ctx, tx, l.CID)
	}
	if err != nil {
		return errors.Join(err, tx.Abort())
	}
	return g.keepBlob(ctx, tx, blobKey(to, d), l)
}

// Whole finds out whether a blob that was located is as it should be, for who would
// rely on it and not upload it. The error matches [oci.ErrNotFound] when it is not.
func (g *Registry) Whole(ctx context.Context, c cid.Cid) error {
	tx, err := g.store.BeginRecords(ctx)
	if err != nil {
		return err
	}
	return errors.Join(whole(ctx, tx, c), tx.Abort())
}

func whole(ctx context.Context, tx ipfs.RecordTx, c cid.Cid) error {
	if t, ok := tx.(ipfs.Checker); ok && !t.Whole(ctx, c) {
		return fmt.Errorf("%w: the blob is damaged here, or a part of it is gone: upload it again", oci.ErrNotFound)
	}
	return nil
}

// blob finds a blob that stays for long enough to be relied on.
func (g *Registry) blob(ctx context.Context, repository string, d digest.Digest) (link, error) {
	r, l, err := read[link](ctx, g.store, blobKey(repository, d))
	if err == nil && !r.Until.IsZero() && r.Until.Before(now().Add(fresh)) {
		err = fmt.Errorf("%w: blob %s of %q is about to go", oci.ErrNotFound, d, repository)
	}
	return l, err
}
