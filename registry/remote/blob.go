package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
)

const (
	maxResumes  = 8                      // connections in a row that bring next to nothing before a blob is given up
	minResumed  = 64 << 10               // bytes that are more than that
	resumeAfter = 250 * time.Millisecond // twice as long each time
)

// blob reads a blob, over as many connections as it takes.
type blob struct {
	ctx    context.Context
	from   *Repository
	digest digest.Digest
	size   int64
	offset int64
	body   io.ReadCloser // nil when it could not be opened again
	broken error         // why the last connection has ended
	lost   bool          // body is not at offset
	failed int           // connections in a row that brought less than minResumed bytes
	begun  int64         // the offset at which the last of these began
}

// open asks for the blob from its offset on.
func (b *blob) open() error {
	desc, body, err := b.from.at("").Blobs().FetchReference(b.ctx, b.digest.String())
	if err != nil {
		return b.from.failed("blob "+b.digest.String(), err)
	}
	b.size, b.body, b.lost = desc.Size, body, false
	if b.offset == 0 {
		return nil
	}
	if _, ok := body.(io.Seeker); ok {
		return b.move()
	}
	_, err = io.CopyN(io.Discard, body, b.offset)
	return err
}

// move has the body go on at the offset, by a range where the registry has them.
func (b *blob) move() error {
	s, ok := b.body.(io.Seeker)
	if !ok {
		b.drop()
		return b.open()
	}
	_, err := s.Seek(b.size, io.SeekStart) // its connection ends
	if err == nil {
		_, err = s.Seek(b.offset, io.SeekStart)
	}
	b.lost = err != nil
	return err
}

// Size implements [registry.Blob].
func (b *blob) Size() int64 { return b.size }

// Read implements io.Reader.
func (b *blob) Read(p []byte) (int, error) {
	for {
		if b.broken != nil {
			if err := b.again(b.broken); err != nil {
				return 0, err
			}
		}
		n, err := b.part(p)
		if b.offset += int64(n); b.offset-b.begun >= minResumed {
			b.failed = 0
		}
		if err == nil || err == io.EOF && b.offset >= b.size {
			return n, err
		}
		b.broken = err
		if n > 0 { // the rest is asked for with the next
			return n, nil
		}
	}
}

// part reads from the connection that there is, or makes one.
func (b *blob) part(p []byte) (int, error) {
	if b.body == nil || b.lost {
		if err := b.move(); err != nil {
			return 0, err
		}
	}
	return b.body.Read(p)
}

// drop leaves a connection that has broken.
func (b *blob) drop() {
	if b.body != nil {
		_ = b.body.Close() // it is broken already
		b.body = nil
	}
}

// again waits for a new try, unless too many in a row brought next to nothing.
func (b *blob) again(cause error) error {
	if b.lost = true; errors.Is(cause, ErrUnauthorized) || errors.Is(cause, oci.ErrNotFound) {
		return cause
	}
	b.begun, b.broken = b.offset, nil
	if b.failed++; b.failed > maxResumes {
		return fmt.Errorf("%w: %s: blob %s broke off at byte %d of %d, and %d times brought next to nothing: %w", ErrUnreachable, b.from, b.digest, b.offset, b.size, maxResumes, cause)
	}
	select {
	case <-time.After(resumeAfter << (b.failed - 1)):
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

// Seek implements io.Seeker.
func (b *blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.offset
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("blob %s: there is nothing before its first byte", b.digest)
	}
	if offset != b.offset {
		b.offset, b.begun, b.lost = offset, offset, true
	}
	return offset, nil
}

// Close implements io.Closer.
func (b *blob) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}
