// Package publish turns an image archive into an OCI image layout on IPFS, in
// one pass over the archive and without a copy of it.
package publish

import (
	"context"
	"encoding/json"
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
	meaning "github.com/image2ipfs/image2ipfs/registry/layout"
)

// Options of a publication.
type Options struct {
	Compression layer.Options // for layers that arrive uncompressed
	Recompress  bool          // compress layers that arrive compressed again, which changes digests
	Count       func(n int)   // told of every byte read from the archive; may be nil
	Total       func(n int64) // told how many bytes Count will be told of, where that is known late; may be nil
	Saved       *Saved        // what an engine says of the archive that it is writing; may be nil
}

// Result is what was published.
type Result struct {
	Root      cid.Cid
	Format    string         // of the archive, for humans
	Images    []Image        // in the order of the archive, one for each name
	Size      int64          // bytes of all blobs, each once
	Absent    []string       // what is named and the archive lacks: platforms, layers that are distributed elsewhere
	Unindexed []string       // layers that can have no index, which Options asked for, and why
	Dropped   []string       // attestations, signatures and artifacts that Recompress made worthless
	Misnamed  []string       // what the archive calls images by and no engine takes as a name
	Same      []meaning.Same // names that several images have; each means the first of them
	Stats     ipfs.Stats
	Layers    []Blob // each once
	Directory string // where the layout was written, when it was not published
}

// Image is one name in the layout.
type Image struct {
	Name      string             // "repository:tag" without registry host, ":tag", "repository" or empty
	Manifest  ocispec.Descriptor // of its manifest or index
	Platforms []string           // "linux/amd64", those that are complete
	Size      int64              // bytes of manifests, configs and layers
	Artifact  *oci.Artifact      // what it is where it is no image
	pull      ref.Name
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
	in := newIntake(s, o)
	in.believe(o.Saved)
	in.input = a
	if err := in.peek(ctx, a); err != nil {
		return nil, err
	}
	err = a.Walk(ctx, o.Count, func(e archive.Entry) error { return in.entry(ctx, e) })
	if err != nil {
		return nil, err
	}
	k, err := in.detect()
	if err == nil {
		err = in.keptWord(k)
	}
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

func newIntake(s sink, o Options) *intake {
	if o.Compression.Compression == "" {
		o.Compression.Compression = layer.Gzip
	}
	return &intake{
		sink: s, options: o.Compression, recompress: o.Recompress, items: map[string]*item{}, conflicts: map[string]error{}, refused: map[string]error{}, linked: newLinked(),
	}
}

// finish makes the layout of what was read, checks that it is complete and
// commits it.
func (in *intake) finish(ctx context.Context, k kind) (*Result, error) {
	index, found, err := in.layout(ctx, k)
	if err != nil {
		return nil, err
	}
	index.Manifests, _ = oci.Familiar(index.Manifests)
	if k == ociLayout {
		index.Manifests = found.canonical(ctx, index.Manifests)
	}
	needed, err := oci.Walk(ctx, found, index)
	if err != nil {
		return nil, in.explained(err)
	}
	found.take(needed.Inline)
	if err := checkConfigs(ctx, found, needed); err != nil {
		return nil, err
	}
	r := &Result{Format: k.String(), Absent: needed.Absent, Dropped: in.dropped, Misnamed: in.misnamed, Unindexed: in.unindexed()}
	if err := r.describe(ctx, found, index); err != nil {
		return nil, err
	}
	files, err := found.files(ctx, in.sink, index, needed)
	if err != nil {
		return nil, err
	}
	r.Size = blobBytes(files)
	r.Layers = layers(needed.Blobs, func(d digest.Digest) (stored, bool) { s, ok := files[oci.BlobPath(d)]; return s, ok })
	in.remember(ctx, files)
	r.Root, r.Stats, err = in.sink.commit(ctx, files, r.Names())
	for i := range r.Images {
		r.Images[i].pull.Root = r.Root
	}
	return r, err
}

// describe tells by which names the images of a layout are pulled, and what each
// stands for.
func (r *Result) describe(ctx context.Context, found contents, index ocispec.Index) error {
	names := meaning.NewNames(cid.Undef, index, found)
	lines, err := names.Lines(ctx)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return fmt.Errorf("%w: none of the %d entries of index.json is an image: the first is of type %q", archive.ErrFormat, len(index.Manifests), index.Manifests[0].MediaType)
	}
	whole := map[digest.Digest]*oci.Reachable{} // an image of many names is followed once
	for _, l := range lines {
		desc := l.Image.Descriptor
		if whole[desc.Digest] == nil {
			if whole[desc.Digest], err = oci.Walk(ctx, found, oci.NewIndex([]ocispec.Descriptor{desc})); err != nil {
				return err
			}
		}
		img := Image{Name: l.Name, Manifest: desc, Platforms: whole[desc.Digest].Platforms, pull: l.Pull}
		if data, err := found.Small(ctx, desc.Digest); err == nil {
			if oci.ListsNothing(data) {
				return fmt.Errorf("%w: index %s of %d bytes lists no image: save the image again", archive.ErrFormat, desc.Digest, len(data))
			}
			img.Artifact = oci.ArtifactOf(data)
		}
		if img.Manifest.MediaType == "" { // it is told by what a server gives it
			m, err := names.Manifest(ctx, desc.Digest)
			if err != nil {
				return err
			}
			img.Manifest.MediaType = m.Descriptor.MediaType
		}
		for _, b := range whole[desc.Digest].Blobs {
			img.Size += b.Size
		}
		r.Images = append(r.Images, img)
	}
	r.Same, err = names.Same(ctx)
	return err
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

// PlatformsOf lists the platforms of an image.
func (r *Result) PlatformsOf(d digest.Digest) []string {
	for _, i := range r.Images {
		if i.Manifest.Digest == d {
			return i.Platforms
		}
	}
	return nil
}

// PullName is the name under which image i is pulled from a registry host, as
// [meaning.Names.Lines] has it.
func (r *Result) PullName(i int, host string) string {
	name := r.Images[i].pull
	name.Host = host
	return name.String()
}

// checkConfigs refuses images whose config is none or knows of other layers than their
// manifest has, as [oci.CheckConfig] does: engines refuse them late, or run them without.
func checkConfigs(ctx context.Context, found contents, needed *oci.Reachable) error {
	for _, desc := range needed.Blobs {
		var m ocispec.Manifest
		// What a descriptor says of its type may be wrong, or nothing.
		if data, err := found.Small(ctx, desc.Digest); err != nil || json.Unmarshal(data, &m) != nil || m.Config.Digest == "" {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			continue
		}
		config := found[m.Config.Digest]
		switch {
		case config.isEmpty() || config.at != nil && !config.noJSON: // not read, since there was much before it
			continue
		case config.at != nil && oci.IsImageConfig(m.Config.MediaType):
			return fmt.Errorf("%w: manifest %s: config %s of %d bytes is no JSON object, as its type %q says: save the image again", archive.ErrFormat, desc.Digest, m.Config.Digest, config.at.Size, m.Config.MediaType)
		}
		if err := oci.CheckConfig(m, config.data, func(l ocispec.Descriptor) digest.Digest { return found[l.Digest].diffID }); err != nil {
			return fmt.Errorf("%w: manifest %s: %v: save the image again", archive.ErrFormat, desc.Digest, err)
		}
	}
	return nil
}
