package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// blob reads content wherever it can be had; it is an io.ReadSeekCloser. Each
// byte has been checked against a CID or a digest before it is returned, and
// all that is read from the start on against the blob's digest.
type blob struct {
	ctx     context.Context
	f       *Fetcher
	desc    ocispec.Descriptor
	content io.ReadSeekCloser // nil when a source has yet to be found
	spare   []*blobSource     // to go on with when content fails
	release func()
	pos     int64
	err     error // for good

	verifier digest.Verifier
	hashed   int64 // bytes from the start on
}

func newBlob(ctx context.Context, f *Fetcher, desc ocispec.Descriptor, content io.ReadSeekCloser) *blob {
	return &blob{
		ctx: ctx, f: f, desc: desc, content: content, spare: f.r.blobs,
		release: func() {}, verifier: desc.Digest.Verifier(),
	}
}

// Read reads on. The last bytes are held back until the digest is right.
func (b *blob) Read(p []byte) (int, error) {
	if len(p) == 0 { // no content would ever give anything
		return 0, nil
	}
	for b.err == nil {
		if b.pos >= b.desc.Size {
			if b.hashed == b.desc.Size {
				b.err = b.verify()
			}
			if b.err == nil {
				return 0, io.EOF
			}
			break
		}
		n, err := b.content.Read(p)
		if n > 0 {
			return b.take(p[:n])
		}
		if err != nil {
			b.err = b.replace(err)
		}
	}
	return 0, b.err
}

// take accounts for bytes that were read.
func (b *blob) take(p []byte) (int, error) {
	if b.pos == 0 {
		b.verifier, b.hashed = b.desc.Digest.Verifier(), 0
	}
	if b.pos == b.hashed {
		b.verifier.Write(p) // a hash never fails
		b.hashed += int64(len(p))
		if b.hashed >= b.desc.Size {
			if b.err = b.verify(); b.err != nil {
				return 0, b.err
			}
		}
	}
	b.pos += int64(len(p))
	b.f.r.count(len(p))
	return len(p), nil
}

// verify checks what was read from start to end.
func (b *blob) verify() error {
	if b.hashed == b.desc.Size && b.verifier.Verified() {
		return nil
	}
	return classified(fmt.Errorf("reading %s: %w: the layout holds other bytes under this digest", b.desc.Digest, oci.ErrCorrupt))
}

// replace goes on with the next source of whole blobs after the present one has
// failed with err.
func (b *blob) replace(err error) error {
	if err == io.EOF { // the content's size was checked when it was opened
		err = fmt.Errorf("%w: the content ends after %d of %d bytes", ipfs.ErrCorrupt, b.pos, b.desc.Size)
	}
	for len(b.spare) > 0 && b.ctx.Err() == nil {
		from := b.spare[0]
		b.spare = b.spare[1:]
		content, next := b.f.r.spool(b.ctx, from, b.f.root, b.desc)
		if next != nil {
			err = alsoFailed{err, next}
			continue
		}
		b.f.r.log.Info("fetching goes on with another source", "digest", b.desc.Digest, "source", from, "because", err)
		if b.content != nil {
			b.content.Close() // a reader, of which nothing is wanted any more
		}
		b.content = content
		_, err = content.Seek(b.pos, io.SeekStart)
		return err
	}
	return classified(fmt.Errorf("reading %s at offset %d: %w", b.desc.Digest, b.pos, err))
}

// alsoFailed is what two sources said.
type alsoFailed [2]error

func (e alsoFailed) Error() string   { return e[0].Error() + "; " + e[1].Error() }
func (e alsoFailed) Unwrap() []error { return e[:] }

// Seek moves within the content; what lies between is not read. After Close, and
// after a failure for good, it gives the error that Read gives.
func (b *blob) Seek(offset int64, whence int) (int64, error) {
	if b.err != nil {
		return b.pos, b.err
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.desc.Size
	default:
		return b.pos, fmt.Errorf("seek from whence %d: expected 0, 1 or 2", whence)
	}
	if offset < 0 {
		return b.pos, errors.New("seek before the start of the content")
	}
	if _, err := b.content.Seek(offset, io.SeekStart); err != nil {
		return b.pos, err
	}
	b.pos = offset
	return offset, nil
}

// Close stops reading ahead.
func (b *blob) Close() error {
	b.release()
	b.release = func() {}
	if b.err == nil {
		b.err = errors.New("the content is closed")
	}
	if b.content == nil {
		return nil
	}
	err := b.content.Close()
	b.content = nil
	return err
}

// held is content in memory.
type held struct{ *bytes.Reader }

func memory(data []byte) io.ReadSeekCloser { return held{bytes.NewReader(data)} }

func (held) Close() error { return nil }
