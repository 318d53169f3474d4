package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// image is an archive to be published and how often.
type image struct {
	name, path string
	size       int64
	rounds     int
}

// images makes those that are asked for.
func (b *bench) images() ([]image, error) {
	v1, _, _, err := b.debianRoots()
	if err != nil {
		return nil, err
	}
	var thousand, giant []source
	for i := range 1000 {
		thousand = append(thousand, made(fmt.Sprintf("d%d", i), 1, 500, uint64(i)))
	}
	for i := range 4 {
		giant = append(giant, made(fmt.Sprintf("g%d", i), 256, 1<<20, uint64(i)<<32))
	}
	var images []image
	for _, i := range []struct {
		name   string
		rounds int
		layers []source
	}{
		{"debian", b.rounds, []source{root(v1), application(1)}},
		{"files", b.rounds, []source{made("f", 1000, 1000, 5e6)}},
		{"giant", (b.rounds + 1) / 2, giant},
		{"layers", (b.rounds + 1) / 2, thousand},
	} {
		if b.names != "" && !strings.Contains(b.names, i.name) {
			continue
		}
		path, err := b.write(i.name, i.layers...)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		images = append(images, image{i.name, path, info.Size(), i.rounds})
	}
	return images, nil
}

// debian is the image that is served and pulled.
func (b *bench) debian() (string, error) {
	v1, _, _, err := b.debianRoots()
	if err != nil {
		return "", err
	}
	return b.write("debian", root(v1), application(1))
}

// ociForm gives the same image as an OCI archive with compressed layers.
func (b *bench) ociForm(i image) (string, error) {
	path := b.path("in", i.name+".oci.tar")
	if _, err := os.Stat(path); err == nil || !have("skopeo") {
		return path, err
	}
	_, err := b.command("skopeo", "copy", "-q", "--insecure-policy", "docker-archive:"+i.path, "oci-archive:"+path+".part:bench:1").run()
	if err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}

// debianRoots are tars of a Debian root before and after an upgrade, and with
// new mtimes.
func (b *bench) debianRoots() (v1, v2, v1m string, err error) {
	dir := b.roots
	if dir == "" {
		dir = b.path("roots")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", "", "", err
		}
		if _, err := os.Stat(filepath.Join(dir, "v1m.tar")); err != nil {
			b.say("making Debian roots (minutes, once)")
		}
		making := b.command("test/bench/roots.sh", dir)
		making.limit = time.Hour
		if _, err := making.run(); err != nil {
			return "", "", "", err
		}
	}
	return filepath.Join(dir, "v1.tar"), filepath.Join(dir, "v2.tar"), filepath.Join(dir, "v1m.tar"), nil
}
