package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/layer"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"
)

func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	os.Exit(m.Run())
}

// FuzzPartial gives layers of any bytes to the writer of zstd:chunked: where
// there is an index, what podman can pull as a whole it can pull file by file,
// and gets the same tar.
func FuzzPartial(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Skip("only root mounts overlays")
	}
	store, err := open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if _, err := store.Shutdown(true); err != nil {
			f.Error(err)
		}
	})
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	count := 0
	f.Fuzz(func(t *testing.T, in []byte) {
		count++
		blob, index := compressed(t, in)
		annotations := index.Chunked()
		if annotations == nil {
			return
		}
		whole := fmt.Sprintf("whole-%d-%d", os.Getpid(), count)
		if _, _, err := store.PutLayer(whole, "", nil, "", false, nil, bytes.NewReader(in)); err != nil {
			return
		}
		defer remove(t, store, whole)
		file := filepath.Join(t.TempDir(), "layer.tar")
		if err := os.WriteFile(file, in, 0o644); err != nil {
			t.Fatal(err)
		}
		some := fmt.Sprintf("some-%d-%d", os.Getpid(), count)
		if err := pull(store, some, &ranges{from: bytes.NewReader(blob), size: int64(len(blob))}, annotations); err != nil {
			t.Fatalf("%v, but as a whole it can be pulled", err)
		}
		defer remove(t, store, some)
		if err := sameTar(store, some, file); err != nil {
			t.Error(err)
		}
	})
}

func remove(t *testing.T, store storage.Store, layer string) {
	t.Helper()
	if err := store.DeleteLayer(layer); err != nil {
		t.Error(err)
	}
}

// compressed is a layer as publish makes it.
func compressed(t *testing.T, in []byte) ([]byte, layer.Index) {
	t.Helper()
	c, err := layer.NewCompressor(context.Background(), bytes.NewReader(in), layer.Options{Compression: layer.Chunked})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := io.ReadAll(c)
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	return blob, c.Index()
}

// seeds are small tars: of all kinds of entries, and in each format.
func seeds(f *testing.F) (tars [][]byte) {
	f.Helper()
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU, tar.FormatUSTAR} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range []tar.Header{
			{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o1755}, {Name: "d/file", Mode: 0o4644, Size: 3000}, {Name: "d/empty"},
			{Name: "d/hard", Typeflag: tar.TypeLink, Linkname: "d/file"}, {Name: "d/soft", Typeflag: tar.TypeSymlink, Linkname: "../d"},
			{Name: "d/pipe", Typeflag: tar.TypeFifo}, {Name: "d/.wh.gone"}, {Name: "o/.wh..wh..opq"},
		} {
			h.Format, h.ModTime = format, time.Unix(1_700_000_000, 0)
			data := bytes.Repeat([]byte("data\n"), int(h.Size)/5)
			_, err := w.Write(nil)
			err = errors.Join(err, w.WriteHeader(&h))
			if _, e := w.Write(data); err != nil || e != nil {
				f.Fatal(errors.Join(err, e))
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		tars = append(tars, b.Bytes())
	}
	return tars
}
