package legacy

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// isGzip tells whether a file begins as RFC 1952, 2.3 says.
func isGzip(ctx context.Context, g ipfs.Getter, c cid.Cid) (bool, error) {
	f, err := ipfs.OpenFile(ctx, g, c, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 3)
	if _, err := io.ReadFull(f, head); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		return false, err
	}
	return string(head) == "\x1f\x8b\x08", nil
}

// Size tells to how many bytes the gzip file c inflates: by [QuickSize], else
// by [Measure].
func Size(g ipfs.Getter) Sizer {
	return func(ctx context.Context, c cid.Cid) (int64, error) {
		n, sure, err := QuickSize(ctx, g, c)
		if sure || err != nil {
			return n, err
		}
		return Measure(ctx, g, c)
	}
}

const (
	wrap = 1 << 32 // ISIZE is the size modulo this
	// usualRatio is what hardly any layer exceeds when it is compressed, and
	// maxRatio what deflate can never exceed.
	usualRatio = 16
	maxRatio   = 1032
)

// QuickSize reads the size of a tar in the gzip file c from the trailer (RFC
// 1952, 2.3.1, "ISIZE"), the last four bytes, so that few blocks are read
// however large the file is. sure is false when the number may be too small,
// since the tar may have 4 GiB or more: then [Measure] knows.
func QuickSize(ctx context.Context, g ipfs.Getter, c cid.Cid) (n int64, sure bool, err error) {
	f, err := ipfs.OpenFile(ctx, g, c, 0)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	if f.Size() < 18 {
		return 0, false, fmt.Errorf("%w: file %s is no gzip: it has %d bytes", ipfs.ErrCorrupt, c, f.Size())
	}
	if _, err := f.Seek(-4, io.SeekEnd); err != nil {
		return 0, false, err
	}
	tail := make([]byte, 4)
	if _, err := io.ReadFull(f, tail); err != nil {
		return 0, false, err
	}
	n = int64(binary.LittleEndian.Uint32(tail))
	return n, plausible(f.Size(), n), nil
}

// plausible tells whether a gzip of so many bytes inflates to n bytes rather
// than to n + 4 GiB or more.
func plausible(packed, n int64) bool {
	tooLong := n+wrap > packed*maxRatio // deflate cannot hold 4 GiB more
	switch {
	case n == 0 || n%512 != 0: // no tar
		return false
	case packed > n+n/1000+64<<10: // deflate adds 5 bytes to 16 KiB at most
		return false
	case tooLong:
		return true
	}
	return n <= packed*usualRatio && n+wrap > packed*usualRatio
}

// Measure inflates the gzip file c and counts.
func Measure(ctx context.Context, g ipfs.Getter, c cid.Cid) (int64, error) {
	f, err := ipfs.OpenFile(ctx, g, c, inflateAhead)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReaderSize(f, bufferSize))
	if err != nil {
		return 0, fmt.Errorf("inflating %s: %w", c, err)
	}
	n, err := io.Copy(io.Discard, z)
	if err != nil {
		return 0, fmt.Errorf("inflating %s: %w", c, err)
	}
	return n, nil
}

const (
	inflateAhead = 4 // blocks
	bufferSize   = 64 << 10
)

// Inflated is a blob whose file is gzip: an io.ReadSeekCloser over what it
// inflates to. It inflates from the start whatever is read, and checks size and
// digest before it gives out the last byte; a difference is an error that
// matches [oci.ErrCorrupt]. It is not safe for concurrent use.
type Inflated struct {
	f    *ipfs.File
	desc ocispec.Descriptor
	r    *bufio.Reader // at pos; nil before the first read
	pos  int64
	want int64 // where the next read begins
}

// NewInflated takes over f, the file of blob d that inflates to size bytes.
func NewInflated(f *ipfs.File, d digest.Digest, size int64) *Inflated {
	return &Inflated{f: f, desc: ocispec.Descriptor{Digest: d, Size: size}}
}

// Size is the length of the blob in bytes.
func (b *Inflated) Size() int64 { return b.desc.Size }

// Close closes the file.
func (b *Inflated) Close() error { return b.f.Close() }

// Seek moves within the blob; nothing is read yet.
func (b *Inflated) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.want
	case io.SeekEnd:
		offset += b.desc.Size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the blob")
	}
	b.want = offset
	return offset, nil
}

// Prepare inflates up to where the next read begins, so that what cannot be
// read is an error of Prepare and not of the read.
func (b *Inflated) Prepare() error {
	if b.want >= b.desc.Size {
		return nil
	}
	if b.r == nil || b.want < b.pos {
		if _, err := b.f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		z, err := gzip.NewReader(bufio.NewReaderSize(b.f, bufferSize))
		if err != nil {
			return b.error(err)
		}
		b.r, b.pos = bufio.NewReaderSize(oci.VerifyReader(z, b.desc), bufferSize), 0
	}
	n, err := io.CopyN(io.Discard, b.r, b.want-b.pos)
	if b.pos += n; err != nil {
		return b.error(err)
	}
	if _, err := b.r.Peek(1); err != nil {
		return b.error(err)
	}
	return nil
}

func (b *Inflated) Read(p []byte) (int, error) {
	if b.want >= b.desc.Size {
		return 0, io.EOF
	}
	if err := b.Prepare(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.desc.Size-b.pos)])
	b.pos += int64(n)
	if err == nil && b.pos == b.desc.Size {
		if _, err = b.r.Peek(1); err == io.EOF {
			err = nil // and the digest is right
		}
	}
	if err != nil {
		return 0, b.error(err)
	}
	b.want = b.pos
	return n, nil
}

func (b *Inflated) error(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("inflating blob %s: %w", b.desc.Digest, err)
}
