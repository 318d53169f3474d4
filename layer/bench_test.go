package layer

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// A layer is compressed on all processors, within the memory of a few segments.
func BenchmarkCompress(b *testing.B) {
	plain := bytes.Repeat(sample(b), 8<<20/len(sample(b))+1)
	for name, o := range map[string]Options{"gzip": {}, "zstd": {Compression: Zstd}, "lazy": lazy} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				compress(b, bytes.NewReader(plain), o)
			}
		})
	}
}

// An index costs few bytes: here of 20,000 files of 1 to 4 KB, most of which is
// digests, and for a layer of larger files.
func BenchmarkIndexSize(b *testing.B) {
	var files []tarFile
	for i := range 20_000 {
		files = append(files, tarFile{fmt.Sprintf("usr/share/d%d/file%d", i/50, i), text(uint64(i), 1000+i%3000)})
	}
	for name, plain := range map[string][]byte{"small files": makeTar(b, files...), "large files": sample(b)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				members, _ := compress(b, bytes.NewReader(plain), Options{})
				blob, _ := compress(b, bytes.NewReader(plain), lazy)
				b.ReportMetric(100*float64(len(blob)-len(members))/float64(len(members)), "%index")
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
