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
	"strings"
	"testing"
	"time"

	"go.podman.io/storage"

	"github.com/image2ipfs/image2ipfs/layer"
)

// FuzzPartial gives tars of any entries to the writer of zstd:chunked: where
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
	f.Add([]byte("\x04\x00\x00\x00\x00\x01\x09\x31\x05\x07\x03\x02\x00\x00\x00\x02\x01\x00\x00\x00\x06\x03\x00\x00\x00"))
	f.Add([]byte("\x04\x00\x00\x00\x00\x07\x08\x00\x00\x00\x08\x01\x00\x00\x01\x00\x02\xff\xff\x02"))
	count := 0
	f.Fuzz(func(t *testing.T, entries []byte) {
		count++
		in := tarOf(t, entries)
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

// tarOf makes a tar of what five bytes each say of an entry: its kind, name, size
// (two bytes) and format. Names recur, so that there are links, files that replace
// others and whiteouts of what is there.
func tarOf(t *testing.T, entries []byte) []byte {
	t.Helper()
	kinds := []byte{tar.TypeReg, tar.TypeReg, tar.TypeLink, tar.TypeSymlink, tar.TypeDir, tar.TypeFifo, tar.TypeReg, tar.TypeReg, tar.TypeChar}
	names := []string{"d", "a", "d/a", "d/.wh.a", "d/b", "d/d", "d/d/c", "\u00e9", "d/.wh..wh..opq", "d/" + strings.Repeat("long", 40)}
	formats := []tar.Format{tar.FormatPAX, tar.FormatGNU, tar.FormatUnknown}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for ; len(entries) >= 5; entries = entries[5:] {
		name := func(i byte) string { return names[int(i)%len(names)] }
		h := tar.Header{
			Typeflag: kinds[int(entries[0])%len(kinds)], Name: name(entries[1]), Mode: int64(entries[0])<<4 | 0o600, Uid: int(entries[4]),
			ModTime: time.Unix(1_700_000_000, 0), Format: formats[int(entries[4])%len(formats)],
		}
		switch h.Typeflag {
		case tar.TypeReg:
			h.Size = int64(entries[2])<<8 | int64(entries[3])
		case tar.TypeLink, tar.TypeSymlink:
			h.Linkname = name(entries[2])
		case tar.TypeDir:
			h.Name += "/"
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat(entries[3:4], int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
