package publish

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
)

// diffIDOf decompresses a layer to learn its diffID. What is wrong with it
// matters to who needs the layer.
func diffIDOf(it *item) func(io.Reader) error {
	return func(r io.Reader) error {
		plain, done, err := decompressed(it.media, r)
		hash := digest.Canonical.Digester()
		if err == nil {
			defer done()
			_, err = io.Copy(hash.Hash(), plain)
		}
		switch {
		case errors.Is(err, archive.ErrFormat):
			it.fault = err
			return nil
		case err != nil:
			return err
		}
		it.diffID = hash.Digest()
		return nil
	}
}

// decompressed reads a layer's tar; done releases the decompressor. Errors about
// the layer, one that is a decompression bomb among them, match
// [archive.ErrFormat].
func decompressed(mediaType string, r io.Reader) (plain io.Reader, done func(), err error) {
	if mediaType != ocispec.MediaTypeImageLayerGzip && mediaType != ocispec.MediaTypeImageLayerZstd {
		return r, func() {}, nil
	}
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(4)
	if err == io.EOF {
		err = fmt.Errorf("%w: a layer of %d bytes", archive.ErrFormat, len(head))
	}
	if err != nil {
		return nil, nil, err
	}
	z, err := archive.Inflate(head, buffered)
	if err != nil {
		return nil, nil, err
	}
	// Closing can only fail with what reading has failed with.
	return z, func() { _ = z.Close() }, nil
}
