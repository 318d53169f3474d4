package publish

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/layer"
)

// archiveOf is a docker archive with one layer of n files of this size, half
// noise and half text.
func archiveOf(n, size int) files {
	r := rand.New(rand.NewPCG(1, 2))
	var f files
	for i := range n {
		data := bytes.Repeat([]byte(fmt.Sprintf("%06d the quick brown fox\n", i)), size/20+1)[:size]
		for j := 0; j < size; j += 2 {
			data[j] = byte(r.Uint32())
		}
		f = f.add(fmt.Sprintf("f%06d", i), data)
	}
	l := f.tar()
	return files{}.add("l/layer.tar", l).add("c.json", configOf(l)).
		json("manifest.json", []manifestItem{{Config: "c.json", RepoTags: []string{"app:1"}, Layers: []string{"l/layer.tar"}}})
}

func benchmarkPublish(b *testing.B, again bool, f files, o Options) {
	path := f.write(b)
	b.SetBytes(int64(len(f.tar())))
	s := newStore(b)
	publish := func() {
		a, err := archive.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer a.Close()
		if _, err := Publish(context.Background(), a, s, o); err != nil {
			b.Fatal(err)
		}
	}
	if again {
		publish()
	}
	for b.Loop() {
		if !again {
			s = newStore(b)
		}
		publish()
	}
}

func BenchmarkPublishGzip(b *testing.B) { benchmarkPublish(b, false, archiveOf(64, 1<<20), Options{}) }

func BenchmarkPublishTinyFiles(b *testing.B) {
	benchmarkPublish(b, false, archiveOf(1000, 1000), Options{})
}

func BenchmarkPublishUncompressed(b *testing.B) {
	benchmarkPublish(b, false, archiveOf(64, 1<<20), Options{Compression: layer.Options{Compression: layer.None}})
}

func BenchmarkPublishAgain(b *testing.B) { benchmarkPublish(b, true, archiveOf(64, 1<<20), Options{}) }
