package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"

	"github.com/pierrec/lz4/v4"
)

// newLz4 reads the frames of an lz4 file. A block has at most 4 MiB, so what it
// takes is bounded.
func newLz4(r io.Reader) io.Reader {
	return lz4.NewReader(&lz4Frames{parts: parts{in: bufio.NewReaderSize(r, readBuffer)}})
}

// lz4Frames passes on the frames of an lz4 file and leaves out what is behind them.
// What is no frame is passed on, too: the decoder says what is wrong.
type lz4Frames struct {
	parts

	blockSum, contentSum int64 // bytes of checksums behind a block, and behind the last
}

func (f *lz4Frames) Read(p []byte) (int, error) {
	return f.read(p, f.next)
}

// next measures the part that comes (LZ4 Frame Format, "General Structure of LZ4
// Frame format", "Skippable Frames").
func (f *lz4Frames) next() error {
	if f.begun && !f.inBlocks {
		more, err := continues(f.in, "lz4", func(head []byte) bool { return IsLz4(head) || isSkippable(head) })
		if err == nil && !more {
			err = io.EOF
		}
		if err != nil {
			return err
		}
	}
	head, err := f.in.Peek(8) // no frame is shorter
	if len(head) < 4 || err != nil && err != io.EOF {
		f.broken = true
		return nil
	}
	switch size := int64(binary.LittleEndian.Uint32(head)); {
	case f.inBlocks && size == 0:
		f.left, f.inBlocks = 4+f.contentSum, false
	case f.inBlocks:
		f.left = 4 + size&0x7fffffff + f.blockSum // the highest bit: not compressed
	case len(head) < 8:
		f.broken = true
	case isSkippable(head):
		f.left, f.begun = 8+int64(binary.LittleEndian.Uint32(head[4:])), true
	default:
		flags := head[4]
		f.blockSum, f.contentSum = int64(flags>>4&1)*4, int64(flags>>2&1)*4
		f.left = 7 + int64(flags>>3&1)*8 + int64(flags&1)*4
		f.inBlocks, f.begun = true, true
	}
	return nil
}

// isSkippable tells of a frame that users may fill, of lz4 and of zstd.
func isSkippable(head []byte) bool {
	return len(head) > 0 && head[0]>>4 == 5 && bytes.HasPrefix(head[1:], []byte("\x2a\x4d\x18"))
}
