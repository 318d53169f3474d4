package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// Limits of what an archive may ask of its reader. They are far above what
// images have: 127 layers is the most that engines can mount.
const (
	maxEntries   = 100_000
	maxName      = 4096     // bytes, Linux' PATH_MAX
	maxNames     = 32 << 20 // bytes of all names together, which are held in memory
	maxInflated  = 1 << 40  // bytes out of one compressed or sparse content
	maxRatio     = 200      // bytes out for each byte in…
	ratioFree    = 1 << 30  // …beyond this many bytes out: a small bomb does no harm
	maxZstdFrame = 128 << 20
)

// Inflate reads the content of a gzip, zstd, bzip2 or lz4 file, which r must hold;
// head is its first bytes. Zeros behind it are padding, anything else is an
// error. Close releases the decompressor. What is broken, or inflates as no
// image does, is an error that matches [ErrFormat]: more than 1 TiB, or more
// than 1 GiB at more than 200 bytes for each that was read. A zstd frame whose
// window takes more than 128 MiB of memory is refused, too.
func Inflate(head []byte, r io.Reader) (io.ReadCloser, error) {
	in := &counter{r: r}
	out := &inflated{source: in, close: func() error { return nil }}
	out.in = &in.n
	switch {
	case IsGzip(head):
		z, err := newGzipMembers(in)
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %v", ErrFormat, err)
		}
		out.r, out.what, out.close = z, "gzip", z.z.Close
	case IsZstd(head):
		frames := &zstdFrames{parts: parts{in: bufio.NewReaderSize(in, readBuffer)}}
		z, err := zstd.NewReader(frames, zstd.WithDecoderMaxWindow(maxZstdFrame), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("%w: zstd: %v", ErrFormat, err)
		}
		out.r, out.what, out.close = z, "zstd", func() error { z.Close(); return nil }
	case IsBzip2(head):
		out.r, out.what = newBzip2Streams(in), "bzip2"
	case IsLz4(head):
		out.r, out.what = newLz4(in), "lz4"
	default:
		return nil, fmt.Errorf("%w: compressed with neither gzip, zstd, bzip2 nor lz4", ErrFormat)
	}
	return out, nil
}

type inflated struct {
	bounded
	source *counter
	close  func() error
}

// Read tells what is broken from what could not be read.
func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.bounded.Read(p)
	if err != nil && err != io.EOF && !i.source.failed.Load() && !errors.Is(err, ErrFormat) {
		what := i.what
		if errors.Is(err, io.ErrUnexpectedEOF) {
			what = "truncated " + what
		}
		err = fmt.Errorf("%w: %s: %v", ErrFormat, what, err) // no io.ErrUnexpectedEOF, which readers of blocks take for the end
	}
	return n, err
}

func (i *inflated) Close() error { return i.close() }

// counter counts what is read of r. Decompressors read it in goroutines of
// their own.
type counter struct {
	r      io.Reader
	n      atomic.Int64
	failed atomic.Bool // with an error other than io.EOF
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	if err != nil && err != io.EOF {
		c.failed.Store(true)
	}
	return n, err
}

// bounded refuses content that becomes too large for what it is made of.
type bounded struct {
	r     io.Reader
	in    *atomic.Int64 // bytes read so far
	start int64         // of these, before r began
	what  string
	out   int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.out += int64(n)
	in := b.in.Load() - b.start
	switch {
	case b.out > maxInflated:
		return 0, fmt.Errorf("%w: %s: it becomes more than the %d bytes that are allowed", ErrFormat, b.what, int64(maxInflated))
	case b.out > ratioFree && b.out/maxRatio > in:
		return 0, fmt.Errorf("%w: %s: a decompression bomb: %d bytes become more than %d, at most %d for each byte are allowed beyond %d",
			ErrFormat, b.what, in, b.out, maxRatio, ratioFree)
	}
	return n, err
}
