package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Images are images of a place that gives each content by its digest, such as a
// registry. It is safe for concurrent use.
type Images interface {
	// String names the place for humans.
	String() string
	// Index gives the entries that index.json is to have. Errors match
	// [oci.ErrNotFound]. It and Manifest, which is called after it, need not ask the
	// place for what is known here.
	Index(ctx context.Context, known Known) ([]ocispec.Descriptor, error)
	// Manifest reads a manifest, index or config, checked against its digest. The
	// error matches [oci.ErrNotFound] for one that is not there, or not meant: of
	// an index it is left out.
	Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error)
	// Blob opens any other content; whoever reads it checks it.
	Blob(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// Known gives a manifest, index or config that an earlier publication has stored here,
// checked against its digest; false where there is none.
type Known func(ctx context.Context, desc ocispec.Descriptor) ([]byte, bool)

// fetchParallel is how many blobs are fetched at once.
const fetchParallel = 4

// From publishes images of another place on a store. What the store knows by its
// digest is not fetched, and what was fetched before a failure stays there for a day.
// Errors are those of [Publish] and of images.
func From(ctx context.Context, images Images, e ipfs.Store, o Options) (*Result, error) {
	s, err := newStoreSink(ctx, e)
	if err != nil {
		return nil, err
	}
	return from(ctx, images, s, o)
}

// FromToDirectory writes the same layout to a directory, as [ToDirectory] does.
func FromToDirectory(ctx context.Context, images Images, dir string, o Options) (*Result, error) {
	s, err := newDirSink(dir)
	if err != nil {
		return nil, err
	}
	r, err := from(ctx, images, s, o)
	if err == nil {
		r.Directory = s.dir
	}
	return r, err
}

func from(ctx context.Context, images Images, to sink, o Options) (_ *Result, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, to.abort())
		}
	}()
	in := newIntake(to, o)
	in.kind = ociLayout
	top, err := images.Index(ctx, in.known)
	if err != nil {
		return nil, err
	}
	index := oci.NewIndex(top)
	seen := &survey{images: images, sizes: map[digest.Digest]int64{}, read: map[digest.Digest][]byte{}, manifests: map[digest.Digest]ocispec.Descriptor{}}
	seen.list(top)
	needed, err := oci.Walk(ctx, seen, index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", images, err)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	in.items[ocispec.ImageIndexFile] = &item{name: ocispec.ImageIndexFile, size: int64(len(data)), data: data, digest: digest.FromBytes(data)}
	if o.Total != nil {
		o.Total(seen.unread(needed))
	}
	if err := in.fetch(ctx, seen, needed, o.Count); err != nil {
		return nil, err
	}
	return in.finish(ctx, ociLayout)
}

// fetch takes all that is needed, several blobs at once.
func (in *intake) fetch(ctx context.Context, from *survey, needed *oci.Reachable, count func(int)) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchParallel)
	for _, desc := range needed.Blobs {
		if _, inline := needed.Inline[desc.Digest]; inline {
			continue
		}
		name := oci.BlobPath(desc.Digest)
		if data, ok := from.read[desc.Digest]; ok {
			e := archive.Entry{Name: name, Size: int64(len(data)), Content: bytes.NewReader(data)}
			if err := in.entry(ctx, e); err != nil {
				return errors.Join(err, g.Wait())
			}
			in.fetched = append(in.fetched, desc.Digest)
			continue
		}
		it := &item{name: name, size: desc.Size, claimed: desc.Digest}
		in.items[name] = it
		g.Go(func() error { return in.fetchBlob(gctx, from.images, desc, it, count) })
	}
	return g.Wait()
}

// fetchBlob takes one blob, unless the sink knows it.
func (in *intake) fetchBlob(ctx context.Context, images Images, desc ocispec.Descriptor, it *item, count func(int)) (err error) {
	if known, ok := in.sink.recall(ctx, blobKey(desc.Digest)); ok && !in.recompress {
		it.raw = &stored{Link: known.Link, share: Sharing{Blocks: known.Blocks, known: true}}
		it.digest = desc.Digest
		if count != nil {
			count(int(desc.Size))
		}
		return nil
	}
	body, err := images.Blob(ctx, desc)
	if errors.Is(err, oci.ErrNotFound) && oci.IsForeign(desc) {
		return nil // it is distributed elsewhere
	}
	if err != nil {
		return err
	}
	content := &counted{r: oci.VerifyReader(body, desc), count: count}
	defer func() { err = errors.Join(err, body.Close()) }()
	head := make([]byte, min(512, desc.Size))
	if _, err := io.ReadFull(content, head); err != nil {
		return fmt.Errorf("%s: blob %s: %w", images, desc.Digest, err)
	}
	it.head = bytes.Clone(head[:min(len(head), 16)])
	r := io.MultiReader(bytes.NewReader(head), content)
	if in.recompress {
		err = in.store(ctx, it, head, r)
	} else {
		it.media = layerType(head, it.size)
		err = in.sink.hold(ctx, desc.Digest, func(to adder) (stored, error) {
			err := in.keep(ctx, it, to, r)
			if err != nil {
				return stored{}, err
			}
			return *it.raw, nil
		})
	}
	if err != nil {
		return fmt.Errorf("%s: blob %s: %w", images, desc.Digest, err)
	}
	return nil
}

// counted tells of the bytes that are read.
type counted struct {
	r     io.Reader
	count func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.count != nil {
		c.count(n)
	}
	return n, err
}

// survey are the manifests of images, read once, and what they say of the sizes of
// their parts. It is the [oci.Contents] of what is not fetched yet.
type survey struct {
	images    Images
	manifests map[digest.Digest]ocispec.Descriptor
	sizes     map[digest.Digest]int64
	read      map[digest.Digest][]byte
}

// unread are the bytes of what is needed and was not read.
func (s *survey) unread(needed *oci.Reachable) (n int64) {
	for _, desc := range needed.Blobs {
		if s.read[desc.Digest] == nil && needed.Inline[desc.Digest] == nil {
			n += desc.Size
		}
	}
	return n
}

// list notes manifests that an index lists.
func (s *survey) list(manifests []ocispec.Descriptor) {
	for _, desc := range manifests {
		if desc.MediaType == "" || oci.IsAnyManifest(desc.MediaType) {
			s.manifests[desc.Digest] = desc
		} else {
			s.sizes[desc.Digest] = desc.Size
		}
	}
}

// Manifest implements [oci.Contents].
func (s *survey) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if data, ok := s.read[desc.Digest]; ok {
		return data, nil
	}
	data, err := s.images.Manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	s.read[desc.Digest] = data
	if _, ok := s.manifests[desc.Digest]; !ok { // a config
		return data, nil
	}
	manifests, blobs, err := oci.PartsOf(data)
	if err != nil {
		return data, nil // whoever follows it finds out
	}
	s.list(manifests)
	for _, part := range blobs {
		s.sizes[part.Digest] = part.Size
	}
	return data, nil
}

// Size implements [oci.Contents].
func (s *survey) Size(ctx context.Context, d digest.Digest) (int64, error) {
	if desc, ok := s.manifests[d]; ok {
		data, err := s.Manifest(ctx, desc)
		return int64(len(data)), err
	}
	if size, ok := s.sizes[d]; ok {
		return size, nil
	}
	return 0, fmt.Errorf("%w: %s: nothing tells its size", oci.ErrNotFound, d)
}
