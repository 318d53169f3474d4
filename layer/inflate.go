package layer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// inflate reads what begins here, compressed or not.
func inflate(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, readAhead)
	head := make([]byte, skippableHeader)
	start, _ := in.Peek(4) // less is no compressed stream
	copy(head, start)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case isFrame(head):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMember))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

// errTooMuch is why a layer is not read to its end.
var errTooMuch = errors.New("it has more than is read")

// eachMember calls fn for the entries of a layer's tar, until it says that no more are
// wanted.
func eachMember(blob *source, fn func(h *tar.Header, r io.Reader) (more bool, err error)) error {
	if _, err := blob.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in, err := inflate(blob)
	if err != nil {
		return err
	}
	defer in.Close() // nothing is written
	files := tar.NewReader(&bounded{in, blob.ctx, maxBrowsed})
	for {
		h, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the layer's tar: %w", err)
		}
		if more, err := fn(h, files); err != nil || !more {
			return err
		}
	}
}

// source is a blob that is read until ctx is done, and remembers why it could not be read.
type source struct {
	io.ReadSeeker
	ctx    context.Context
	failed error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		s.failed = err
	}
	return n, err
}

// broken gives why no more can be read, whatever the bytes are.
func (s *source) broken() error { return cmp.Or(s.ctx.Err(), s.failed) }

// cause tells what is wrong with the bytes from what is wrong with reading them.
func (s *source) cause(err error) error {
	switch broken := s.broken(); {
	case err == nil:
		return nil
	case broken != nil:
		return broken
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// bounded gives an error where too much is read, and when ctx is done: a few bytes may be
// inflated to any number.
type bounded struct {
	r    io.Reader
	ctx  context.Context
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func fileOf(h *tar.Header) File {
	kinds := map[byte]string{tar.TypeReg: typeReg, tar.TypeDir: typeDir, tar.TypeSymlink: "symlink", tar.TypeLink: typeLink, tar.TypeChar: "char", tar.TypeBlock: "block", tar.TypeFifo: "fifo"}
	f := File{Name: cleanName(h.Name), Kind: kinds[h.Typeflag], Link: h.Linkname, Mode: h.Mode & 0o7777, Size: h.Size}
	if f.Kind == "" {
		f.Kind = typeReg
	}
	return f
}
