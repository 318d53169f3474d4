package publish

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

// What a store remembers (see [ipfs.Memory]) under these keys: the compressed
// form of a layer, what its index is called (with the layer's file, whose digests
// these are not), and the file of a blob. Where blobs are cut decides files.
func layerKey(o layer.Options, diffID digest.Digest) string {
	return fmt.Sprintf("layer %s cuts%d %s", o, layer.Cuts, diffID)
}
func indexKey(i int, o layer.Options, diffID digest.Digest) string {
	return fmt.Sprintf("index%d %s", i, layerKey(o, diffID))
}
func blobKey(d digest.Digest) string { return fmt.Sprintf("blob cuts%d %s", layer.Cuts, d) }

// maxDigests is how many an index may have.
const maxDigests = 2

// recallIndex tells what the index of a layer is called. ok is false where there
// is none, so that the reason will be told again.
func (in *intake) recallIndex(ctx context.Context, diffID digest.Digest) (index layer.Index, ok bool) {
	var digests []digest.Digest
	var numbers [5]uint64
	for i := range maxDigests {
		known, ok := in.sink.recall(ctx, indexKey(i, in.options, diffID))
		if !ok {
			break
		}
		digests, numbers = append(digests, known.Digest), known.Numbers
	}
	return in.options.RecallIndex(digests, numbers)
}

// recognise spares a content that an earlier publication has stored: it is only
// hashed, to be sure. done is false when nothing was read.
func (in *intake) recognise(ctx context.Context, it *item, pack bool, r io.Reader) (done bool, err error) {
	want, key := it.claimed, blobKey(it.claimed)
	switch {
	case pack:
		want = in.diffID(it.name)
		key = layerKey(in.options, want)
	case in.kind != ociLayout:
		return false, nil
	}
	if want == "" {
		return false, nil
	}
	known, ok := in.sink.recall(ctx, key)
	if !ok {
		return false, nil
	}
	var index layer.Index
	if pack && in.options.Indexed() {
		if index, ok = in.recallIndex(ctx, want); !ok {
			return false, nil
		}
	}
	found := stored{Link: known.Link, share: Sharing{Blocks: known.Blocks, known: true}}
	if !pack {
		hash, note := in.hasher(it)
		if err := fanOut(r, hash); err != nil {
			return true, err
		}
		it.raw = &found
		note()
		return true, nil
	}
	hash := want.Algorithm().Digester()
	if err := fanOut(r, func(r io.Reader) error { _, err := io.Copy(hash.Hash(), r); return err }); err != nil {
		return true, err
	}
	it.diffID = hash.Digest()
	if it.diffID != want {
		return true, fmt.Errorf("%w: its config expects diff_id %s, the layer's content has %s", dockerarchive.ErrInvalid, want, it.diffID)
	}
	it.packed = &packed{stored: found, digest: known.Digest, media: in.options.Compression.MediaType(), index: index}
	return true, nil
}

// known is a [Known]: what the sink remembers and has.
func (in *intake) known(ctx context.Context, desc ocispec.Descriptor) ([]byte, bool) {
	k, ok := in.sink.recall(ctx, blobKey(desc.Digest))
	if !ok {
		return nil, false
	}
	data, err := in.sink.read(ctx, k.Link, oci.MaxManifestSize)
	return data, err == nil && desc.Digest.Validate() == nil && desc.Digest.Algorithm().FromBytes(data) == desc.Digest
}

// identify notes the digest of a content that is stored as found.
func (in *intake) identify(it *item, d digest.Digest) {
	it.digest = d
	if it.media == ocispec.MediaTypeImageLayer {
		it.diffID = d
	}
}

// remember tells the sink, which has stored files, what the next publication need not
// do again, nor fetch.
func (in *intake) remember(ctx context.Context, files map[string]stored) {
	for _, d := range in.fetched {
		if f, ok := files[oci.BlobPath(d)]; ok {
			if _, known := in.sink.recall(ctx, blobKey(d)); !known {
				in.sink.remember(blobKey(d), ipfs.Known{Link: f.Link, Digest: d})
			}
		}
	}
	for _, it := range in.items {
		if p := it.packed; p != nil && !p.share.known {
			in.sink.remember(layerKey(in.options, it.diffID), ipfs.Known{Link: p.Link, Digest: p.digest})
			for i, d := range p.index.Digests() {
				in.sink.remember(indexKey(i, in.options, it.diffID), ipfs.Known{Link: p.Link, Digest: d, Numbers: p.index.Numbers()})
			}
		}
		if it.raw != nil && !it.raw.share.known && it.digest != "" {
			in.sink.remember(blobKey(it.digest), ipfs.Known{Link: it.raw.Link, Digest: it.digest})
		}
	}
}
