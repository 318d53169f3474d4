package archive

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Programs that write to a pipe in whole records, as bsdtar does, put zeros
// behind the compressed data; decompressors take them for a broken file.

// continues tells whether r goes on with what begins as is says. At the end, and
// before nothing but zeros, it does not; anything else is an error that matches
// [ErrFormat].
func continues(r *bufio.Reader, format string, is func([]byte) bool) (bool, error) {
	head, err := r.Peek(4)
	if err != nil && err != io.EOF {
		return false, err
	}
	if is(head) {
		return true, nil
	}
	return false, onlyZeros(r, format)
}

// onlyZeros reads r to its end and refuses what is no padding.
func onlyZeros(r *bufio.Reader, format string) error {
	buf := make([]byte, 4<<10)
	rest, padding := int64(0), true
	for {
		n, err := r.Read(buf)
		rest += int64(n)
		padding = padding && isZero(buf[:n])
		switch {
		case err == io.EOF && !padding:
			return fmt.Errorf("%w: %s: %d bytes behind the end of the compressed data are neither more of it nor zeros: was something appended to the file?", ErrFormat, format, rest)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// gzipMembers reads the members of a gzip file one after another (RFC 1952,
// section 2.2).
type gzipMembers struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func newGzipMembers(r io.Reader) (*gzipMembers, error) {
	in := bufio.NewReaderSize(r, readBuffer)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gzipMembers{in, z}, nil
}

func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := g.z.Read(p)
		if n > 0 || err != io.EOF {
			if err == io.EOF { // asked again, it looks for another member
				err = nil
			}
			return n, err
		}
		more, err := continues(g.in, "gzip", IsGzip)
		if err == nil && !more {
			err = io.EOF
		}
		if err == nil {
			err = g.z.Reset(g.in)
		}
		if err != nil {
			return 0, err
		}
		g.z.Multistream(false)
	}
}

// zstdFrames passes on the frames of a zstd file and leaves out what is behind
// them. What is no frame is passed on, too: the decoder says what is wrong.
type zstdFrames struct {
	parts
	checksum bool // four bytes follow the last block
}

func (f *zstdFrames) Read(p []byte) (int, error) {
	return f.read(p, f.next)
}

// next measures the part that comes: a frame's header, a skippable frame, or a
// block (RFC 8878, sections 3.1.1.1, 3.1.1.2 and 3.1.2).
func (f *zstdFrames) next() error {
	if f.inBlocks {
		head, err := f.in.Peek(3)
		if err != nil {
			f.broken = true
			return nil
		}
		header := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
		f.left = 3 + int64(header>>3)
		if header>>1&3 == 1 { // one byte, repeated
			f.left = 4
		}
		if header&1 == 1 {
			f.inBlocks = false
			if f.checksum {
				f.left += 4
			}
		}
		return nil
	}
	if f.begun {
		more, err := continues(f.in, "zstd", IsZstd)
		if err == nil && !more {
			err = io.EOF
		}
		if err != nil {
			return err
		}
	}
	head, err := f.in.Peek(zstd.HeaderMaxSize)
	var h zstd.Header
	if decodeErr := h.Decode(head); decodeErr != nil || err != nil && err != io.EOF {
		f.broken = true
		return nil
	}
	f.begun = true
	f.left, f.inBlocks, f.checksum = int64(h.HeaderSize), !h.Skippable, h.HasCheckSum
	if h.Skippable {
		f.left += int64(h.SkippableSize)
	}
	return nil
}

// bzip2Streams reads the streams of a bzip2 file.
type bzip2Streams struct {
	z   io.Reader
	in  *lastBytes
	end *twoZeros
}

func newBzip2Streams(r io.Reader) *bzip2Streams {
	end := &twoZeros{left: 2}
	in := &lastBytes{Reader: bufio.NewReaderSize(io.MultiReader(r, end), readBuffer)}
	return &bzip2Streams{bzip2.NewReader(in), in, end}
}

// errNoMoreStreams is what compress/bzip2 says of two bytes behind a stream that do
// not begin another.
const errNoMoreStreams = bzip2.StructuralError("bad magic value in continuation file")

func (b *bzip2Streams) Read(p []byte) (int, error) {
	n, err := b.z.Read(p)
	if errors.Is(err, errNoMoreStreams) {
		if b.in.last != [2]byte{} {
			return n, fmt.Errorf("%w: bzip2: what is behind the end of the compressed data is neither more of it nor zeros: was something appended to the file?", ErrFormat)
		}
		if err = onlyZeros(b.in.Reader, "bzip2"); err == nil {
			err = io.EOF
		}
	} else if err != nil && err != io.EOF && b.end.left < 2 { // it took the two for the rest of a stream
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// twoZeros are put behind what compress/bzip2 reads: it takes two bytes to tell padding
// from another stream, and a single one for a stream that was cut off.
type twoZeros struct{ left int }

func (z *twoZeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, make([]byte, z.left))
	z.left -= n
	return n, nil
}

// lastBytes remembers the last two bytes that compress/bzip2 took.
type lastBytes struct {
	*bufio.Reader
	last [2]byte
}

func (l *lastBytes) ReadByte() (byte, error) {
	b, err := l.Reader.ReadByte()
	if err == nil {
		l.last[0], l.last[1] = l.last[1], b
	}
	return b, err
}

// parts is a stream of frames that is read part by part, as the parts' lengths are
// found out.
type parts struct {
	in       *bufio.Reader
	left     int64 // bytes of the current part
	begun    bool  // a frame was seen
	inBlocks bool  // the next part is a block
	broken   bool  // no more lengths: whoever decompresses will say what is wrong
}

// read reads from the current part; next measures the one that comes.
func (f *parts) read(p []byte, next func() error) (int, error) {
	if f.left == 0 && !f.broken {
		if err := next(); err != nil {
			return 0, err
		}
	}
	if !f.broken && int64(len(p)) > f.left {
		p = p[:f.left]
	}
	n, err := f.in.Read(p)
	f.left -= int64(n)
	return n, err
}
