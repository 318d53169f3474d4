//go:build linux

package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// image is one that was published on both sides.
type image struct {
	name string // in docker-registry
	ciq  string // with the name in it
	size int64  // bytes of its blobs
}

// debian gives the tars of a Debian root, before and after an upgrade.
func (b *bench) debian() (v1, v2 string, err error) {
	if b.roots == "" {
		b.roots = b.path("roots")
		if err := os.MkdirAll(b.roots, 0o755); err != nil {
			return "", "", err
		}
		if _, err := output(b.local("test/bench/roots.sh", b.roots)); err != nil {
			return "", "", err
		}
	}
	return filepath.Join(b.roots, "v1.tar"), filepath.Join(b.roots, "v2.tar"), nil
}

// noise makes a layer of files of 1 MiB that cannot be compressed, unless it is
// there.
func (b *bench) noise(name string, mebibytes int) (path string, err error) {
	return b.files(name, mebibytes, 1<<20, nil)
}

// files makes a layer of files that cannot be compressed, of some bytes each, unless it
// is there. With longer each has that many bytes more than the same file of another layer,
// or less, and is the same otherwise; the names of such layers begin with the same word,
// before a hyphen.
func (b *bench) files(name string, count, size int, longer func(i int) int) (path string, err error) {
	path = b.path("in", name+".layer")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return "", err
	}
	w := tar.NewWriter(f)
	kin, _, _ := strings.Cut(name, "-")
	random := rand.NewChaCha8(sha256.Sum256([]byte(kin)))
	for i := range count {
		data := make([]byte, size, 2*size)
		_, _ = random.Read(data) // never fails
		if longer != nil {
			data = data[:size+longer(i)]
		}
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("noise/%04d", i), Mode: 0o644, Size: int64(len(data))}))
		_, werr := w.Write(data)
		err = errors.Join(err, werr)
	}
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}

// archive writes what docker save writes of an image with these layers, unless
// it is there.
func (b *bench) archive(name string, layers ...string) (path string, err error) {
	path = b.path("in", "p2p-"+name+".tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b.say("making the image %s", name)
	f, err := os.Create(path + ".part")
	if err != nil {
		return "", err
	}
	w := tar.NewWriter(f)
	var diffIDs, files []string
	for i, layer := range layers {
		file := fmt.Sprintf("%d/layer.tar", i)
		id, lerr := addFile(w, file, layer)
		err = errors.Join(err, lerr)
		diffIDs, files = append(diffIDs, id), append(files, file)
	}
	config := map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}
	manifest := []any{map[string]any{"Config": "config.json", "RepoTags": []string{name + ":1"}, "Layers": files}}
	err = errors.Join(err, addJSON(w, "config.json", config), addJSON(w, "manifest.json", manifest), w.Close(), f.Close())
	if err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}

func addFile(w *tar.Writer, name, path string) (digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(w, hash), f)
	return fmt.Sprintf("sha256:%x", hash.Sum(nil)), err
}

func addJSON(w *tar.Writer, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// base is the Debian root as an image, upgraded the same after apt-get upgrade.
func (b *bench) base() (string, error) {
	v1, _, err := b.debian()
	if err != nil {
		return "", err
	}
	return b.archive("debian", v1)
}

func (b *bench) upgraded() (string, error) {
	_, v2, err := b.debian()
	if err != nil {
		return "", err
	}
	return b.archive("upgraded", v2)
}
