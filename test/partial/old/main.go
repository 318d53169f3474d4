// Command old pulls one layer as versions of containers/storage do that came
// before go.podman.io/storage, in podman 4.4 to 5.5: with partial pulls on, into
// an overlay store in a new directory. One source is built with each version:
//
//	go build -modfile=v1.45.4.mod -tags first .
//	go build -modfile=v1.53.0.mod -tags staged .
//	go build .                                    # v1.59.1
//
//	old STORE BLOB TAR ANNOTATIONS
//
// STORE is an empty directory, BLOB and TAR are files, ANNOTATIONS is the JSON of
// those of the layer's descriptor. It prints what was fetched, once the tree is
// that of the tar, or "whole: " and why podman would fetch the layer as a whole.
// It needs root, for overlay mounts.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containers/storage"
	"github.com/containers/storage/pkg/chunked"
	"github.com/containers/storage/pkg/reexec"
	"github.com/opencontainers/go-digest"
)

func main() {
	if reexec.Init() { // the store runs this program again, to apply layers in a chroot
		return
	}
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: old STORE BLOB TAR ANNOTATIONS")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "old:", err)
		os.Exit(1)
	}
}

func run(dir, blob, tar, annotations string) (err error) {
	var told map[string]string
	if err := json.Unmarshal([]byte(annotations), &told); err != nil {
		return err
	}
	store, err := open(dir)
	if err != nil {
		return err
	}
	defer func() {
		_, e := store.Shutdown(true)
		err = errors.Join(err, e)
	}()
	f, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer f.Close()
	from := &ranges{from: f}
	hash := sha256.New()
	if from.size, err = io.Copy(hash, f); err != nil {
		return err
	}
	err = pull(store, "layer", from, digest.NewDigest(digest.SHA256, hash), told)
	var whole fallback
	if errors.As(err, &whole) {
		fmt.Println("whole:", whole)
		return nil
	}
	if err != nil {
		return err
	}
	root, err := store.Mount("layer", "")
	if err != nil {
		return err
	}
	if err := sameTree(root, tar); err != nil {
		return err
	}
	fmt.Printf("%d ranges, %d bytes\n", from.count, from.bytes)
	return nil
}

// fallback is an error with which podman of that time pulls a layer as a whole.
type fallback struct{ error }

// open makes an overlay store in a directory. Old versions read the options of
// pulls from a file, whatever store they pull into.
func open(dir string) (storage.Store, error) {
	conf := filepath.Join(dir, "storage.conf")
	graph, run := filepath.Join(dir, "root"), filepath.Join(dir, "run")
	text := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n[storage.options]\npull_options = {enable_partial_images = \"true\"}\n", graph, run)
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o600), os.Setenv("CONTAINERS_STORAGE_CONF", conf)); err != nil {
		return nil, err
	}
	return storage.GetStore(storage.StoreOptions{
		GraphRoot: graph, RunRoot: run, GraphDriverName: "overlay",
		PullOptions: map[string]string{"enable_partial_images": "true"},
	})
}

// ranges gives parts of a blob, as a registry does, and counts them.
type ranges struct {
	from  io.ReaderAt
	size  int64
	count int
	bytes uint64
}

// GetBlobAt implements [chunked.ImageSourceSeekable].
func (r *ranges) GetBlobAt(chunks []chunked.ImageSourceChunk) (chan io.ReadCloser, chan error, error) {
	streams, errs := make(chan io.ReadCloser), make(chan error)
	for _, c := range chunks {
		r.count++
		r.bytes += c.Length
	}
	go func() {
		defer close(streams)
		defer close(errs)
		for _, c := range chunks {
			streams <- io.NopCloser(io.NewSectionReader(r.from, int64(c.Offset), int64(c.Length)))
		}
	}()
	return streams, errs, nil
}
