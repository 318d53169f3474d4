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
)

// What a store remembers (see [ipfs.Memory]) under these keys: the compressed
// form of a layer, what its index is called (with the layer's file, whose digest
// it is not), and the file of a blob.
func layerKey(o layer.Options, diffID digest.Digest) string {
	return fmt.Sprintf("layer %s %s", o, diffID)
}
func tocKey(o layer.Options, diffID digest.Digest) string {
	return fmt.Sprintf("toc %s %s", o, diffID)
}
func blobKey(d digest.Digest) string { return "blob " + d.String() }

// recognise spares a content that an earlier publication has stored: it is only
// hashed, to be sure. done is false when nothing was read.
func (in *intake) recognise(ctx context.Context, it *item, pack bool, r io.Reader) (done bool, err error) {
	want, key := it.claimed, blobKey(it.claimed)
	switch {
	case pack:
		want = in.expected[it.name]
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
	if pack && in.options.Lazy {
		toc, ok := in.sink.recall(ctx, tocKey(in.options, want))
		if !ok { // there is none, and why is to be told again
			return false, nil
		}
		index = layer.IndexOf(toc.Digest)
	}
	hash := want.Algorithm().Digester()
	if err := fanOut(r, func(r io.Reader) error { _, err := io.Copy(hash.Hash(), r); return err }); err != nil {
		return true, err
	}
	found := stored{Link: known.Link, share: Sharing{Blocks: known.Blocks, known: true}}
	if !pack {
		it.raw = &found
		in.identify(it, hash.Digest())
		return true, nil
	}
	it.diffID = hash.Digest()
	if it.diffID != want {
		return true, fmt.Errorf("%w: its config expects diff_id %s, the layer's content has %s", dockerarchive.ErrInvalid, want, it.diffID)
	}
	it.packed = &packed{stored: found, digest: known.Digest, media: in.options.Compression.MediaType(), index: index}
	return true, nil
}

// identify notes the digest of a content that is stored as found.
func (in *intake) identify(it *item, d digest.Digest) {
	it.digest = d
	if it.media == ocispec.MediaTypeImageLayer {
		it.diffID = d
	}
}

// remember tells the sink what the next publication need not do again.
func (in *intake) remember() {
	for _, it := range in.items {
		if p := it.packed; p != nil && !p.share.known {
			in.sink.remember(layerKey(in.options, it.diffID), ipfs.Known{Link: p.Link, Digest: p.digest})
			if toc := p.index.TOC(); toc != "" {
				in.sink.remember(tocKey(in.options, it.diffID), ipfs.Known{Link: p.Link, Digest: toc})
			}
		}
		if it.raw != nil && !it.raw.share.known && it.digest != "" {
			in.sink.remember(blobKey(it.digest), ipfs.Known{Link: it.raw.Link, Digest: it.digest})
		}
	}
}
