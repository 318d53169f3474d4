package layer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression is how layers are compressed that arrive uncompressed.
type Compression string

// The compressions to choose from.
const (
	Gzip Compression = "gzip" // every engine reads it
	Zstd Compression = "zstd" // dockerd 23, containerd 1.5 and later
	None Compression = "none"
)

// MediaType is the OCI media type of layers of this compression.
func (c Compression) MediaType() string {
	switch c {
	case Gzip:
		return ocispec.MediaTypeImageLayerGzip
	case Zstd:
		return ocispec.MediaTypeImageLayerZstd
	default:
		return ocispec.MediaTypeImageLayer
	}
}

// Options decide the bytes of a compressed layer, and so digests and CIDs.
type Options struct {
	Compression Compression // Gzip when empty
	Level       int         // 1 (fast) to 9 (small); 0 for the default
}

// Default levels.
const (
	DefaultGzipLevel = 6
	DefaultZstdLevel = 3
)

// normal fills in defaults and refuses what does not exist.
func (o Options) normal() (Options, error) {
	if o.Compression == "" {
		o.Compression = Gzip
	}
	if o.Level < 0 || o.Level > 9 {
		return o, fmt.Errorf("compression level %d: want 1 to 9", o.Level)
	}
	switch o.Compression {
	case None:
	case Gzip:
		if o.Level == 0 {
			o.Level = DefaultGzipLevel
		}
	case Zstd:
		if o.Level == 0 {
			o.Level = DefaultZstdLevel
		}
	default:
		return o, fmt.Errorf("compression %q: want gzip, zstd or none", o.Compression)
	}
	return o, nil
}

// Format is the number of the form in which layers are compressed here. It has
// to be raised whenever the golden digests change, be it by a new version of
// the compressors: what was compressed before is then not taken for the same.
const Format = 1

// String tells everything besides the input that decides a layer's bytes.
func (o Options) String() string {
	if n, err := o.normal(); err == nil {
		o = n
	}
	return fmt.Sprintf("%s-%d-format%d", o.Compression, o.Level, Format)
}

// Validate tells whether the options can be used.
func (o Options) Validate() error {
	_, err := o.normal()
	return err
}

// maxWorkers bounds the memory, about 4 MiB for each.
const maxWorkers = 8

// queued is how many segments besides those being compressed may wait, for a
// worker or to be read: without, workers stand still while others write.
const queued = 6

// Compressor reads a tar stream and yields it compressed. Its output depends
// on the input and the options only, not on the number of processors.
type Compressor struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	order   chan *job // in the order of the input
	rest    []byte    // of the member being read
	diffID  hash.Hash
	size    int64
	end     error // why feed stopped: io.EOF when the input is used up
	err     error
}

type job struct {
	in   []byte
	out  []byte
	err  error
	done chan struct{}
}

// NewCompressor begins to compress r, in parallel on all processors. Close must
// be called; the results are there when Read has returned io.EOF.
func NewCompressor(ctx context.Context, r io.Reader, o Options) (*Compressor, error) {
	o, err := o.normal()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	c := &Compressor{cancel: cancel, order: make(chan *job, workers+queued), diffID: digest.Canonical.Hash()}
	jobs := make(chan *job, workers)
	for range workers {
		enc, err := o.encoder()
		if err != nil {
			cancel()
			return nil, err
		}
		c.running.Add(1)
		go func() {
			defer c.running.Done()
			for j := range jobs {
				j.out, j.err = enc(j.in)
				j.in = nil
				close(j.done)
			}
		}()
	}
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		c.end = c.feed(ctx, r, jobs)
		close(jobs)
		close(c.order)
	}()
	return c, nil
}

// feed cuts the input into jobs for the workers and tells why it stopped.
func (c *Compressor) feed(ctx context.Context, r io.Reader, jobs chan<- *job) error {
	segments := newSegmenter(r)
	for first := true; ; first = false {
		seg, err := segments.next()
		if err != nil && !(first && err == io.EOF) { // nothing in still is a member out
			return err
		}
		c.diffID.Write(seg)
		c.size += int64(len(seg))
		j := &job{in: seg, done: make(chan struct{})}
		select {
		case c.order <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case jobs <- j:
		case <-ctx.Done():
			j.err = ctx.Err()
			close(j.done)
			return j.err
		}
	}
}

// Read gives the compressed bytes.
func (c *Compressor) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		j, ok := <-c.order
		if !ok {
			c.err = c.end
			continue
		}
		<-j.done
		c.rest, c.err = j.out, j.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Close ends the work and waits for it.
func (c *Compressor) Close() error {
	c.cancel()
	for range c.order { // what feed had queued when it saw the end
	}
	c.running.Wait()
	if c.err == nil {
		c.err = errors.New("compressor is closed")
	}
	return nil
}

// DiffID is the digest of the uncompressed stream, valid after io.EOF.
func (c *Compressor) DiffID() digest.Digest {
	return digest.NewDigest(digest.Canonical, c.diffID)
}

// Size is the number of uncompressed bytes, valid after io.EOF.
func (c *Compressor) Size() int64 { return c.size }

func (o Options) encoder() (func([]byte) ([]byte, error), error) {
	switch o.Compression {
	case Gzip:
		w, err := flate.NewWriter(nil, o.Level)
		if err != nil {
			return nil, err
		}
		return func(in []byte) ([]byte, error) { return gzipMember(w, in) }, nil
	case Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(o.Level)))
		if err != nil {
			return nil, err
		}
		return func(in []byte) ([]byte, error) { return w.EncodeAll(in, nil), nil }, nil
	default:
		return nil, fmt.Errorf("compression %q has no members", o.Compression)
	}
}

// The extra subfield in which our gzip members carry their whole length as a
// little-endian uint32 (RFC 1952, section 2.3.1.1).
const (
	ourID1, ourID2   = 'I', '2'
	gzipHeaderSize   = 20
	gzipHeaderAndCRC = gzipHeaderSize + 8
)

// gzipMember compresses in as one gzip member that carries its length.
func gzipMember(w *flate.Writer, in []byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, gzipHeaderSize, gzipHeaderAndCRC+len(in)/2+64))
	w.Reset(out)
	if _, err := w.Write(in); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	var trailer [8]byte
	binary.LittleEndian.PutUint32(trailer[:], crc32.ChecksumIEEE(in))
	binary.LittleEndian.PutUint32(trailer[4:], uint32(len(in)))
	out.Write(trailer[:])
	member := out.Bytes()
	copy(member, []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, ourID1, ourID2, 4, 0})
	binary.LittleEndian.PutUint32(member[16:], uint32(len(member)))
	return member, nil
}
