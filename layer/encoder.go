package layer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// encoder compresses in as one member into the empty buf, which it may replace.
type encoder func(buf, in []byte) ([]byte, error)

// encoderPools keeps encoders that rest: to make one takes longer than to
// compress a small layer.
var encoderPools sync.Map // of *sync.Pool by normal Options

func (o Options) encoders() (*sync.Pool, error) {
	if pool, ok := encoderPools.Load(o); ok {
		return pool.(*sync.Pool), nil
	}
	first, err := o.newEncoder()
	if err != nil {
		return nil, err
	}
	pool := &sync.Pool{New: func() any {
		enc, err := o.newEncoder()
		if err != nil { // not with options that were good before
			return encoder(func(_, _ []byte) ([]byte, error) { return nil, err })
		}
		return enc
	}}
	pool.Put(first)
	encoderPools.Store(o, pool)
	return pool, nil
}

func (o Options) newEncoder() (encoder, error) {
	switch o.Compression {
	case Gzip:
		w, err := flate.NewWriter(nil, o.Level)
		if err != nil {
			return nil, err
		}
		return func(buf, in []byte) ([]byte, error) { return gzipMember(w, buf, in) }, nil
	case Zstd, Chunked:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(largeBuffer), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(o.Level)))
		if err != nil {
			return nil, err
		}
		return func(buf, in []byte) ([]byte, error) { return w.EncodeAll(in, buf), nil }, nil
	default:
		return nil, fmt.Errorf("compression %q has no members", o.Compression)
	}
}

// The extra subfield in which our gzip members carry their whole length as a
// little-endian uint32 (RFC 1952, section 2.3.1.1).
const (
	ourID1, ourID2 = 'I', '2'
	gzipHeaderSize = 20
)

// gzipMember compresses in, in the empty buf, as one gzip member that carries
// its length.
func gzipMember(w *flate.Writer, buf, in []byte) ([]byte, error) {
	out := bytes.NewBuffer(append(buf, make([]byte, gzipHeaderSize)...))
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
