package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// source writes one layer's tar.
type source func(w *tar.Writer) error

// write puts an image of these layers, as docker save before version 25 does,
// into a file, unless that is there.
func (b *bench) write(name string, layers ...source) (path string, err error) {
	path = b.path("in", name+".tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if len(layers) > 1 || !strings.HasPrefix(name, "many") {
		b.say("making %s", name)
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	var diffIDs, files []string
	for i, layer := range layers {
		plain := b.path("in", "layer.part")
		id, err := layerFile(plain, layer)
		if err != nil {
			return "", err
		}
		file := fmt.Sprintf("%04d/layer.tar", i)
		if err := addFile(w, file, plain); err != nil {
			return "", err
		}
		diffIDs, files = append(diffIDs, "sha256:"+id), append(files, file)
		if err := os.Remove(plain); err != nil {
			return "", err
		}
	}
	config, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}})
	if err != nil {
		return "", err
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{"bench/" + name + ":1"}, "Layers": files}})
	if err != nil {
		return "", err
	}
	for name, data := range map[string][]byte{"config.json": config, "manifest.json": manifest} {
		if err := addData(w, name, time.Time{}, data); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}

func layerFile(path string, layer source) (diffID string, err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	w := tar.NewWriter(io.MultiWriter(f, hash))
	if err := layer(w); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

func addFile(w *tar.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

func addData(w *tar.Writer, name string, modified time.Time, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, ModTime: modified, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// root is a Debian root without what apt leaves behind.
func root(path string) source {
	return filtered(path, func(h *tar.Header) bool {
		return !strings.HasPrefix(h.Name, "./var/cache/apt/") && !strings.HasPrefix(h.Name, "./var/lib/apt/lists/")
	})
}

// copied is an image into which files of a Debian root were copied, to other
// places and with new times.
func copied(path string) source {
	return filtered(path, func(h *tar.Header) bool {
		if h.Typeflag != tar.TypeReg || !strings.HasPrefix(h.Name, "./usr/lib/") {
			return false
		}
		h.Name, h.ModTime = "opt/"+filepath.Clean(h.Name), time.Unix(1.7e9, 0)
		h.PAXRecords, h.Format = nil, tar.FormatUnknown
		return true
	})
}

func filtered(path string, keep func(*tar.Header) bool) source {
	return func(w *tar.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		r := tar.NewReader(f)
		for {
			h, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if !keep(h) {
				continue
			}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.Copy(w, r); err != nil {
				return err
			}
		}
	}
}

// made is a layer of n files of this size, half noise and half text.
func made(dir string, n, size int, seed uint64) source {
	return func(w *tar.Writer) error {
		for i := range n {
			h := &tar.Header{Name: fmt.Sprintf("%s/%06d", dir, i), Mode: 0o644, ModTime: time.Unix(1.6e9, 0), Size: int64(size)}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			// In pieces: what this process needs is counted for its children too.
			for left, piece := size, uint64(0); left > 0; left, piece = left-maxPiece, piece+1 {
				if _, err := w.Write(content(min(left, maxPiece), seed+uint64(i)+piece<<24)); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

const maxPiece = 1 << 20

// application is a layer of 40 files of 100 to 500 kB; a rebuild gives all of
// them new times and changes two.
func application(build int) source {
	return func(w *tar.Writer) error {
		for i := range 40 {
			data := content(100e3+i*10e3, uint64(7e6+i))
			if i == 3 || i == 17 {
				copy(data[len(data)/2:], fmt.Sprintf("build %d", build))
			}
			if err := addData(w, fmt.Sprintf("srv/app/%02d.so", i), time.Unix(1.6e9+int64(build), 0), data); err != nil {
				return err
			}
		}
		return nil
	}
}

// content compresses about as well as programs do.
func content(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, seed))
	var b bytes.Buffer
	for b.Len() < size {
		var noise [48]byte
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		b.Write(noise[:])
		fmt.Fprintf(&b, "%08d the quick brown fox jumps over the lazy dog", r.Uint32N(1000))
	}
	return b.Bytes()[:size]
}
