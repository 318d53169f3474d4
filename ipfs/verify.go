package ipfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
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
// to, and that indices inside of layers tell what is in them. It goes on after a
// fault, so that the error, which matches [ErrCorrupt] or [ErrNotFound], names
// all of them; count is told of the bytes read.
func Verify(ctx context.Context, g Getter, root cid.Cid, count func(n int)) (Verification, error) {
	return new(Verifier).Verify(ctx, g, root, count)
}

// Verifier is [Verify] for several layouts of one source: a blob that was right in one
// is not read again for the next. The zero value is ready; it is not safe for
// concurrent use.
type Verifier struct {
	right map[string]int64 // sizes of blobs by digest and CID
}

// Verify does what the function does.
func (r *Verifier) Verify(ctx context.Context, g Getter, root cid.Cid, count func(n int)) (Verification, error) {
	var v Verification
	g = Verified(g)
	l, err := OpenLayout(ctx, g, root)
	if err != nil {
		return v, err
	}
	var faults []error
	err = l.Blobs(ctx, func(d digest.Digest, c cid.Cid) error {
		key := d.String() + " " + c.String()
		if n, ok := r.right[key]; ok {
			v.Bytes, v.Blobs = v.Bytes+n, v.Blobs+1
			return nil
		}
		n, err := verifyBlob(ctx, g, d, c, count)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v.Bytes += n
		if err != nil {
			faults = append(faults, fmt.Errorf("blob %s: %w", d, err))
		} else {
			v.Blobs++
			if r.right == nil {
				r.right = map[string]int64{}
			}
			r.right[key] = n
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
			faults = append(faults, verifyManifests(ctx, l, needed.Blobs)...)
		}
	}
	return v, errors.Join(faults...)
}

// verifyManifests compares the config of each image with its layers, and layers that have
// an index inside with that, as each manifest tells of it.
func verifyManifests(ctx context.Context, l *Layout, blobs []ocispec.Descriptor) (faults []error) {
	told := map[digest.Digest][]map[string]string{}
	var layers []digest.Digest
	there := map[digest.Digest]bool{}
	for _, desc := range blobs {
		there[desc.Digest] = true
	}
	for _, desc := range blobs {
		if !oci.IsManifest(desc.MediaType) {
			continue
		}
		var m ocispec.Manifest
		data, err := readPart(ctx, l, desc)
		if err == nil {
			err = jsontext.Unmarshal(data, &m)
		}
		if err == nil && there[m.Config.Digest] && m.Config.Size <= oci.MaxManifestSize {
			err = verifyConfig(ctx, l, m)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("manifest %s: %w", desc.Digest, err))
		}
		for _, d := range m.Layers {
			if !there[d.Digest] || !layer.HasIndex(d.Annotations) {
				continue
			}
			if told[d.Digest] == nil {
				layers = append(layers, d.Digest)
			}
			told[d.Digest] = append(told[d.Digest], d.Annotations)
		}
	}
	for _, d := range layers {
		if err := verifyIndex(ctx, l, d, told[d]); err != nil {
			faults = append(faults, fmt.Errorf("layer %s: %w", d, err))
		}
	}
	return faults
}

// readPart reads a manifest or config, which may lie in its descriptor alone.
func readPart(ctx context.Context, l *Layout, desc ocispec.Descriptor) ([]byte, error) {
	data, err := l.Manifest(ctx, desc)
	if errors.Is(err, ErrNotFound) { // in the descriptor's data, which was read
		return desc.Data, nil
	}
	return data, err
}

// verifyConfig compares the config of an image with its layers: diff_ids with the digests
// of those that are not compressed.
func verifyConfig(ctx context.Context, l *Layout, m ocispec.Manifest) error {
	config, err := readPart(ctx, l, m.Config)
	if err != nil {
		return err
	}
	return oci.CheckConfig(m, config, func(part ocispec.Descriptor) digest.Digest {
		if !oci.IsPlainLayer(part.MediaType) || isCompressed(ctx, l, part.Digest) {
			return ""
		}
		return part.Digest
	})
}

// isCompressed tells by its first bytes whether a layer is gzip or zstd, whatever its type
// says, or cannot be read.
func isCompressed(ctx context.Context, l *Layout, d digest.Digest) bool {
	f, err := l.Open(ctx, d, 0)
	if err != nil {
		return true
	}
	defer f.Close()
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	return bytes.HasPrefix(head[:n], []byte{0x1f, 0x8b}) || bytes.Equal(head[:n], []byte{0x28, 0xb5, 0x2f, 0xfd})
}

func verifyIndex(ctx context.Context, l *Layout, d digest.Digest, annotations []map[string]string) error {
	f, err := l.Open(ctx, d, 4)
	if err != nil {
		return err
	}
	err = layer.VerifyIndex(f, f.Size(), annotations...)
	err = errors.Join(err, f.Close())
	if errors.Is(err, layer.ErrIndex) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
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
		return n, fmt.Errorf("%w: file %s has another digest", ErrCorrupt, c)
	}
	return n, nil
}

type countWriter func(n int)

func (c countWriter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}
