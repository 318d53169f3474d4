package publish

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Again publishes a layout that is published already once more, by other options: with
// [Options.Recompress] its layers become such as share blocks with those of other
// versions. Its blocks come from one source and go to a store; nothing is copied to a
// file. Errors are those of [Publish], and those of reading the layout.
func Again(ctx context.Context, from ipfs.Getter, root cid.Cid, to ipfs.Store, o Options) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := writeLayout(ctx, from, root, w)
		w.CloseWithError(err) // nil ends the archive
		read <- err
	}()
	result, err := Publish(ctx, archive.Stream(ref.Ciq(root), r), to, o)
	_ = r.CloseWithError(io.ErrClosedPipe) // ends the writing
	if failed := <-read; err != nil && failed != nil && !errors.Is(failed, io.ErrClosedPipe) {
		return nil, failed // what it was taken for came of it
	}
	return result, err
}

// writeLayout writes the layout below a root as a tar: index.json, then the blobs in the
// order of their digests.
func writeLayout(ctx context.Context, from ipfs.Getter, root cid.Cid, w io.Writer) error {
	l, err := ipfs.OpenLayout(ctx, from, root)
	if err != nil {
		return err
	}
	blobs := map[string]cid.Cid{}
	err = l.Blobs(ctx, func(d digest.Digest, c cid.Cid) error {
		blobs[oci.BlobPath(d)] = c
		return nil
	})
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	if err := out.WriteHeader(header(ocispec.ImageIndexFile, int64(len(l.IndexJSON)))); err != nil {
		return err
	}
	if _, err := out.Write(l.IndexJSON); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(blobs)) {
		if err := writeBlob(ctx, from, blobs[name], name, out); err != nil {
			return err
		}
	}
	return out.Close()
}

func writeBlob(ctx context.Context, from ipfs.Getter, c cid.Cid, name string, out *tar.Writer) error {
	f, err := ipfs.OpenFile(ctx, from, c, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	if err := out.WriteHeader(header(name, f.Size())); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Mode: 0o644, Size: size, Format: tar.FormatPAX}
}
