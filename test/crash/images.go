package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/test/program"
)

// image is an archive and what becomes of it.
type image struct {
	archive    string
	root       string // ciq…
	repository string // below the registry
	manifest   digest.Digest
	took       time.Duration // to publish it undisturbed
}

const imageCount = 9

// makeImages writes archives of 0.2 to 5 MB; every three share a layer. They are
// published once undisturbed, to know what has to come out.
func makeImages(model program.Program, dir string, choose *rand.Rand) ([]image, error) {
	var images []image
	var shared []byte
	for i := range imageCount {
		if i%3 == 0 {
			shared = noise(choose, 100_000+choose.IntN(1_500_000))
		}
		m := image{archive: filepath.Join(dir, fmt.Sprintf("%d.tar", i))}
		err := program.WriteArchive(m.archive, fmt.Sprintf("crash%d:1", i), shared, noise(choose, 100_000+choose.IntN(3_500_000)))
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		out, err := model.Command("publish", "--json", "-r", "host", m.archive).Output()
		if err != nil {
			return nil, fmt.Errorf("publishing %s: %w", m.archive, err)
		}
		m.took = time.Since(begun)
		var said struct {
			Root   struct{ Ciq string }
			Images []struct{ Digest digest.Digest }
		}
		if err := json.Unmarshal(out, &said); err != nil || len(said.Images) != 1 || said.Root.Ciq == "" {
			return nil, fmt.Errorf("publishing %s: unexpected answer %.200s (%v)", m.archive, out, err)
		}
		m.root, m.manifest = said.Root.Ciq, said.Images[0].Digest
		m.repository = m.root
		images = append(images, m)
	}
	return images, os.RemoveAll(model.Store)
}

func noise(choose *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(choose.Uint32())
	}
	return b
}
