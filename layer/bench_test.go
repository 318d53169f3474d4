package layer

import (
	"bytes"
	"io"
	"testing"
)

// A layer is compressed on all processors, within the memory of a few segments.
func BenchmarkCompress(b *testing.B) {
	plain := bytes.Repeat(sample(b), 8<<20/len(sample(b))+1)
	for _, c := range []Compression{Gzip, Zstd} {
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				compress(b, bytes.NewReader(plain), Options{Compression: c})
			}
		})
	}
}

// What arrives compressed is only cut.
func BenchmarkCut(b *testing.B) {
	plain := bytes.Repeat(sample(b), 8<<20/len(sample(b))+1)
	members, _ := compress(b, bytes.NewReader(plain), Options{})
	for name, blob := range map[string][]byte{"opaque": plain, "members": members} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(blob)))
			for b.Loop() {
				for c := NewCutter(bytes.NewReader(blob), 1<<20); ; {
					block, err := c.NextBytes()
					if err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
					Release(block)
				}
			}
		})
	}
}
