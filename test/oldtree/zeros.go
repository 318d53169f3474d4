package oldtree

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// GzipOfZeros compresses size zeros, a multiple of chunk. Blocks of deflate that
// end at a byte are repeated, which takes a hundredth of compressing all.
func GzipOfZeros(t testing.TB, size int64) []byte {
	t.Helper()
	const chunk = 1 << 20
	zeros, sum := make([]byte, chunk), crc32.NewIEEE()
	var block bytes.Buffer
	z, err := flate.NewWriter(&block, 9)
	if err == nil {
		_, err = z.Write(zeros)
	}
	if err == nil {
		err = z.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	out := []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
	for n := int64(0); n < size; n += chunk {
		out = append(out, block.Bytes()...)
		sum.Write(zeros)
	}
	out = append(out, 1, 0, 0, 0xff, 0xff) // a last block, stored and empty
	out = binary.LittleEndian.AppendUint32(out, sum.Sum32())
	return binary.LittleEndian.AppendUint32(out, uint32(size))
}
