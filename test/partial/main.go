// Command partial pulls one layer as podman does when it fetches single files:
// through go.podman.io/storage, into an overlay store in a new directory. It
// checks that the files, with what tar-split has of the tar, are the tar again.
// It is a module of its own because of what it depends on.
//
//	partial STORE BLOB TAR ANNOTATIONS
//	partial write TAR BLOB
//
// STORE is an empty directory, BLOB and TAR are files, ANNOTATIONS is the JSON
// of those of the layer's descriptor. It needs root, for overlay mounts. With
// write it makes a zstd:chunked layer of a tar, as podman does when it pushes, and
// prints the annotations.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/chunked"
	"go.podman.io/storage/pkg/chunked/compressor"
	"go.podman.io/storage/pkg/reexec"
)

func main() {
	if reexec.Init() { // the store runs this program again, to apply layers in a chroot
		return
	}
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "write":
		err = write(os.Args[2], os.Args[3])
	case len(os.Args) == 5:
		err = run(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	default:
		fmt.Fprintln(os.Stderr, "usage: partial STORE BLOB TAR ANNOTATIONS\n       partial write TAR BLOB")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "partial:", err)
		os.Exit(1)
	}
}

func write(tar, blob string) error {
	in, err := os.Open(tar)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(blob)
	if err != nil {
		return err
	}
	annotations := map[string]string{}
	w, err := compressor.ZstdCompressor(out, annotations, nil)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	_, err = io.Copy(w, in)
	if err := errors.Join(err, w.Close(), out.Close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(annotations)
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
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fetched := &ranges{from: f, size: info.Size()}
	if err := pull(store, "layer", fetched, told); err != nil {
		return err
	}
	if err := sameTar(store, "layer", tar); err != nil {
		return err
	}
	fmt.Printf("%d ranges, %d bytes\n", fetched.count, fetched.bytes)
	return nil
}

// open makes an overlay store in a directory.
func open(dir string) (storage.Store, error) {
	return storage.GetStore(storage.StoreOptions{
		GraphRoot: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"), GraphDriverName: "overlay",
		PullOptions: map[string]string{"enable_partial_images": "true"},
	})
}

// pull puts a layer into the store under this name.
func pull(store storage.Store, name string, from *ranges, annotations map[string]string) error {
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(from.from, 0, from.size)); err != nil {
		return err
	}
	differ, err := chunked.NewDiffer(context.Background(), store, digest.NewDigest(digest.SHA256, hash), from.size, annotations, from)
	if err != nil {
		return err
	}
	defer differ.Close()
	staged, err := store.PrepareStagedLayer(&graphdriver.ApplyDiffWithDifferOpts{}, differ)
	if err != nil {
		return err
	}
	_, err = store.ApplyStagedLayer(storage.ApplyStagedLayerOptions{
		ID: name, DiffOutput: staged, DiffOptions: &graphdriver.ApplyDiffWithDifferOpts{},
	})
	if err != nil {
		return errors.Join(err, store.CleanupStagedLayer(staged))
	}
	return nil
}

// sameTar compares what the store makes of a layer with a file.
func sameTar(store storage.Store, layer, tar string) error {
	want, err := os.ReadFile(tar)
	if err != nil {
		return err
	}
	none := archive.Uncompressed
	diff, err := store.Diff("", layer, &storage.DiffOptions{Compression: &none})
	if err != nil {
		return err
	}
	got, err := io.ReadAll(diff)
	if err := errors.Join(err, diff.Close()); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: the layer in the store makes another tar: %d bytes, want %d", tar, len(got), len(want))
	}
	return nil
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
