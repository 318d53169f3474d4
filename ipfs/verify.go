package ipfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Verification is what [Verify] went through.
type Verification struct {
	Blobs int   `json:"blobs"` // whose digests are right
	Bytes int64 `json:"bytes"` // in them

	Absent []string `json:"absent,omitempty"` // what is named and may be missing, as [oci.Reachable] has it
}

// Verify reads the whole layout under root, checks every block against its CID,
// every blob against its digest, that nothing is missing that index.json leads
// to, and that indices inside of gzip layers tell what is in them. It goes on after a fault, so that the error, which matches
// [ErrIntegrity] or [ErrNotFound], names all of them; count is told of the
// bytes read.
func Verify(ctx context.Context, g Getter, root cid.Cid, count func(n int)) (Verification, error) {
	var v Verification
	g = Verified(g)
	l, err := OpenLayout(ctx, g, root)
	if err != nil {
		return v, err
	}
	var faults []error
	err = l.Blobs(ctx, func(d digest.Digest, c cid.Cid) error {
		n, err := verifyBlob(ctx, g, d, c, count)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v.Bytes += n
		if err != nil {
			faults = append(faults, fmt.Errorf("blob %s: %w", d, err))
		} else {
			v.Blobs++
		}
		return nil
	})
	if err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, verifyLayoutFile(ctx, g, root))
	if errors.Join(faults...) == nil {
		needed, err := oci.Walk(ctx, l, l.Index)
		faults = append(faults, err)
		if err == nil {
			v.Absent = needed.Absent
			faults = append(faults, verifyIndices(ctx, l, needed.Blobs)...)
		}
	}
	return v, errors.Join(faults...)
}

// verifyIndices compares the layers that have an index inside with it.
func verifyIndices(ctx context.Context, l *Layout, blobs []ocispec.Descriptor) (faults []error) {
	for _, desc := range blobs {
		toc := digest.Digest(desc.Annotations[layer.AnnotationTOC])
		if toc == "" || !strings.HasSuffix(desc.MediaType, "gzip") {
			continue
		}
		f, err := l.Open(ctx, desc.Digest, 4)
		if err == nil {
			err = layer.VerifyIndex(f, f.Size(), toc)
			err = errors.Join(err, f.Close())
		}
		if errors.Is(err, layer.ErrIndex) {
			err = fmt.Errorf("%w: %w", ErrIntegrity, err)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("layer %s: %w", desc.Digest, err))
		}
	}
	return faults
}

// verifyLayoutFile reads the oci-layout file, which no pull needs but every
// reader of layouts.
func verifyLayoutFile(ctx context.Context, g Getter, root cid.Cid) error {
	c, err := Resolve(ctx, g, root, ocispec.ImageLayoutFile)
	if err != nil {
		return err
	}
	data, err := ReadFile(ctx, g, c, oci.MaxManifestSize)
	if err != nil {
		return fmt.Errorf("%s: %w", ocispec.ImageLayoutFile, err)
	}
	if err := oci.CheckLayoutFile(data); err != nil {
		return err
	}
	return nil
}

func verifyBlob(ctx context.Context, g Getter, d digest.Digest, c cid.Cid, count func(int)) (int64, error) {
	f, err := OpenFile(ctx, g, c, 4)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	verifier := d.Verifier()
	n, err := f.WriteTo(io.MultiWriter(verifier, countWriter(count)))
	if err != nil {
		return n, err
	}
	if !verifier.Verified() {
		return n, fmt.Errorf("%w: file %s has another digest", ErrIntegrity, c)
	}
	return n, nil
}

type countWriter func(n int)

func (c countWriter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}
