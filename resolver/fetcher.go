package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Fetcher reads the contents of one layout. It is safe for concurrent use.
type Fetcher struct {
	r      *Resolver
	root   cid.Cid
	before []cid.Cid // of a name that moves: what it meant before
}

var (
	_ remotes.Fetcher          = (*Fetcher)(nil)
	_ remotes.FetcherByDigest  = (*Fetcher)(nil)
	_ remotes.ReferrersFetcher = (*Fetcher)(nil)
	_ oci.Fetcher              = (*Fetcher)(nil)
)

// Fetch opens the content of desc. The result is an io.ReadSeekCloser that
// reads what it is asked for and nothing before it; when one source fails it
// goes on with the next. The caller closes it.
//
// Only what the layout's own directory lists is given out. Errors, also those
// of reading, match errdefs.ErrNotFound for other content and for what no
// source has, ErrUnavailable when sources do not answer, ErrInvalidArgument for
// a malformed digest, ErrDataLoss when the layout holds something else than
// desc says.
func (f *Fetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	b, err := f.open(ctx, desc.Digest, &desc, desc.MediaType)
	if err != nil {
		return nil, classified(fmt.Errorf("fetching %s: %w", desc.Digest, err))
	}
	return b, nil
}

// FetchByDigest is Fetch for a digest alone. The returned descriptor has the
// content's size, and no media type but application/octet-stream.
func (f *Fetcher) FetchByDigest(ctx context.Context, d digest.Digest, opts ...remotes.FetchByDigestOpts) (io.ReadCloser, ocispec.Descriptor, error) {
	var config remotes.FetchByDigestConfig
	for _, o := range opts {
		if err := o(ctx, &config); err != nil {
			return nil, ocispec.Descriptor{}, err
		}
	}
	b, err := f.open(ctx, d, nil, config.Mediatype)
	if err != nil {
		return nil, ocispec.Descriptor{}, classified(fmt.Errorf("fetching %s: %w", d, err))
	}
	return b, ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: b.desc.Size}, nil
}

// open opens a blob; desc is nil when no more than the digest is known. What is asked for
// as a manifest has to be one that is signed, where that is required.
func (f *Fetcher) open(ctx context.Context, d digest.Digest, desc *ocispec.Descriptor, mediaType string) (b *blob, err error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %v", errNoDigest, err)
	}
	var first error
	for _, root := range f.roots() {
		in := &Fetcher{r: f.r, root: root}
		if b, err = in.openIn(ctx, d, desc, mediaType); err == nil {
			return b, nil
		}
		refused := errors.Is(err, trust.ErrUntrusted)
		if first == nil || refused {
			first = err
		}
		if !isAbsent(err) && !refused {
			break
		}
	}
	return nil, first
}

// openIn is open in the layout of the fetcher's own root.
func (f *Fetcher) openIn(ctx context.Context, d digest.Digest, desc *ocispec.Descriptor, mediaType string) (*blob, error) {
	l, err := f.r.open(ctx, f.root)
	if err != nil {
		return nil, err
	}
	place, err := l.Locate(ctx, d)
	if err != nil {
		if desc != nil && isAbsent(err) && d.Algorithm().FromBytes(desc.Data) == d { // it holds the content itself
			return newBlob(ctx, f, *desc, memory(desc.Data)), nil
		}
		return nil, err
	}
	if err := f.r.signed(ctx, f.root, l, d, oci.IsAnyManifest(mediaType)); err != nil {
		return nil, err
	}
	f.r.mu.Lock()
	limiter, ahead := f.r.limiter, f.r.ahead
	f.r.mu.Unlock()
	release := func() {}
	if limiter != nil {
		if err := limiter.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		release = func() { limiter.Release(1) }
	}
	b, err := f.openFile(ctx, place.CID, d, desc, ahead)
	if err != nil {
		release()
		return nil, err
	}
	b.release = release
	return b, nil
}

// openFile opens the file c that the layout lists as d.
func (f *Fetcher) openFile(ctx context.Context, c cid.Cid, d digest.Digest, desc *ocispec.Descriptor, ahead int) (*blob, error) {
	dag := f.r.blocks.DAG(c)
	file, err := ipfs.OpenFile(ctx, dag, c, ahead)
	if err != nil {
		err = errors.Join(err, dag.Close())
		if desc == nil || ctx.Err() != nil {
			return nil, err
		}
		b := newBlob(ctx, f, *desc, nil)
		return b, b.replace(err)
	}
	if desc == nil {
		desc = &ocispec.Descriptor{Digest: d, Size: file.Size()}
	}
	if desc.Size != file.Size() {
		return nil, errors.Join(fmt.Errorf("%w: the descriptor says %d bytes, the layout holds %d", oci.ErrCorrupt, desc.Size, file.Size()), file.Close(), dag.Close())
	}
	return newBlob(ctx, f, *desc, &dagFile{File: file, dag: dag}), nil
}

// dagFile is a file with the reads that serve it alone.
type dagFile struct {
	*ipfs.File
	dag  *sources.DAG
	read bool // something was
}

// Read has the whole file streamed when it is read from the start.
func (f *dagFile) Read(p []byte) (int, error) {
	if !f.read {
		f.read = true
		f.dag.Ahead()
		if pos, err := f.Seek(0, io.SeekCurrent); err == nil && pos == 0 {
			f.dag.Stream()
		}
	}
	return f.File.Read(p)
}

// Close ends the reads before the stream that they wait for: they would ask for
// single blocks in its place.
func (f *dagFile) Close() error { return errors.Join(f.File.Close(), f.dag.Close()) }
