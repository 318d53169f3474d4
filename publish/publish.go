// Package publish turns an image archive into an OCI image layout on IPFS, in
// one pass over the archive and without a copy of it.
package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Options of a publication.
type Options struct {
	Compression layer.Options // for layers that arrive uncompressed
	Recompress  bool          // compress layers that arrive compressed again, which changes digests
	Count       func(n int)   // told of every byte read from the archive; may be nil
}

// Result is what was published.
type Result struct {
	Root      cid.Cid
	Format    string   // of the archive, for humans
	Images    []Image  // in the order of the archive, one for each name
	Size      int64    // bytes of the whole layout
	Absent    []string // what a sparse index names and the archive lacks
	Unindexed []string // layers that can have no index, which Options asked for, and why
	Dropped   []string // attestations, signatures and artifacts that Recompress made worthless
	Misnamed  []string // what the archive calls images by and no engine takes as a name
	Stats     ipfs.Stats
	Layers    []Blob // each once
	Directory string // where the layout was written, when it was not published
}

// Image is one name in the layout.
type Image struct {
	Name      string             // "repository:tag" without registry host, ":tag" or empty
	Manifest  ocispec.Descriptor // of its manifest or index
	Platforms []string           // "linux/amd64", those that are complete
	Size      int64              // bytes of manifests, configs and layers
}

// Publish reads an archive and publishes it on a store. When it fails the
// store is as it was. Errors match [archive.ErrFormat], dockerarchive.ErrInvalid
// or [ErrArchive] for archives that cannot be right, and those of the store.
func Publish(ctx context.Context, a *archive.Archive, e ipfs.Store, o Options) (*Result, error) {
	s, err := newStoreSink(ctx, e)
	if err != nil {
		return nil, err
	}
	return publish(ctx, a, s, o)
}

// ToDirectory writes the same layout to a directory, a new temporary one when
// dir is empty, and tells the CID that it would have on IPFS.
func ToDirectory(ctx context.Context, a *archive.Archive, dir string, o Options) (*Result, error) {
	s, err := newDirSink(dir)
	if err != nil {
		return nil, err
	}
	r, err := publish(ctx, a, s, o)
	if err == nil {
		r.Directory = s.dir
	}
	return r, err
}

func publish(ctx context.Context, a *archive.Archive, s sink, o Options) (r *Result, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(blamed(err), s.abort())
		}
	}()
	if o.Compression.Compression == "" {
		o.Compression.Compression = layer.Gzip
	}
	in := &intake{sink: s, options: o.Compression, recompress: o.Recompress, items: map[string]*item{}, links: map[string]string{}}
	if err := in.peek(ctx, a); err != nil {
		return nil, err
	}
	err = a.Walk(ctx, o.Count, func(e archive.Entry) error { return in.entry(ctx, e) })
	if err != nil {
		return nil, err
	}
	k, err := in.detect()
	if err == nil {
		err = in.settle(k)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	if r, err = in.finish(ctx, k); err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	return r, nil
}

// finish makes the layout of what was read, checks that it is complete and
// commits it.
func (in *intake) finish(ctx context.Context, k kind) (*Result, error) {
	index, named, found, err := in.layout(ctx, k)
	if err != nil {
		return nil, err
	}
	needed, err := oci.Walk(ctx, found, index)
	if err != nil {
		return nil, err
	}
	r := &Result{Format: k.String(), Absent: needed.Absent, Dropped: in.dropped, Misnamed: in.misnamed, Unindexed: in.unindexed()}
	if r.Images, err = describe(ctx, found, named); err != nil {
		return nil, err
	}
	files, err := found.files(ctx, in.sink, index, needed)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		r.Size += f.Size
	}
	r.Layers = layers(needed.Blobs, func(d digest.Digest) (stored, bool) { s, ok := files[oci.BlobPath(d)]; return s, ok })
	in.remember()
	r.Root, r.Stats, err = in.sink.commit(ctx, files, r.Names())
	return r, err
}

// describe tells what each name stands for.
func describe(ctx context.Context, found contents, named []image) ([]Image, error) {
	var images []Image
	for _, n := range named {
		one, err := oci.Walk(ctx, found, oci.NewIndex([]ocispec.Descriptor{n.desc}))
		if err != nil {
			return nil, err
		}
		img := Image{Name: ref.TrimHost(n.name), Manifest: n.desc, Platforms: one.Platforms}
		for _, b := range one.Blobs {
			img.Size += b.Size
		}
		images = append(images, img)
	}
	return images, nil
}

// Names lists the images' names, those that have one.
func (r *Result) Names() []string {
	names := []string{}
	for _, i := range r.Images {
		if i.Name != "" && !slices.Contains(names, i.Name) {
			names = append(names, i.Name)
		}
	}
	return names
}

// PullName is the name under which image i is pulled from a registry host:
//
//	one name in the layout     host/<root>/repository
//	several names              host/<root>/repository:tag
//	one image without a name   host/<root>
//	several, this one without  host/<root>/image@sha256:…
func (r *Result) PullName(i int, host string) string {
	n := ref.Name{Host: host, Root: r.Root}
	repository, tag, _ := ref.CutTag(r.Images[i].Name)
	switch single := r.single(); {
	case repository == "" && tag == "" && single:
	case repository == "" && tag == "":
		n.Repository, n.Digest = "image", r.Images[i].Manifest.Digest
	case repository == "" && single:
	case repository == "":
		n.Repository, n.Tag = "image", tag
	case len(r.Names()) == 1 && single:
		n.Repository = repository
	default:
		n.Repository, n.Tag = repository, tag
	}
	return n.String()
}

// single tells whether all names stand for one image.
func (r *Result) single() bool {
	digests := map[digest.Digest]bool{}
	for _, i := range r.Images {
		digests[i.Manifest.Digest] = true
	}
	return len(digests) == 1
}
