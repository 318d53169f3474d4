//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"testing"
)

// spoiled is a docker archive with one bit changed in the upmost layer, in the
// text of a file: the layer is a whole tar, and no longer has its diff_id.
func spoiled(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at, err := inTopLayer(data)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	data[at] ^= 1
	return data
}

// inTopLayer is where the first file with content of the upmost layer begins.
func inTopLayer(archive []byte) (int64, error) {
	var images []struct{ Layers []string }
	layers := map[string]span{} // by name; a link is where it leads
	links := map[string]string{}
	err := entries(archive, func(h *tar.Header, at span) error {
		name := path.Clean(h.Name)
		layers[name] = at
		if h.Typeflag == tar.TypeSymlink {
			links[name] = path.Join(path.Dir(name), h.Linkname)
		}
		if name == "manifest.json" {
			return json.Unmarshal(archive[at.from:at.to], &images)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if len(images) != 1 || len(images[0].Layers) == 0 {
		return 0, fmt.Errorf("manifest.json: expected one image with layers, found %v", images)
	}
	top := path.Clean(images[0].Layers[len(images[0].Layers)-1])
	if to, ok := links[top]; ok {
		top = to
	}
	layer := layers[top]
	inside := int64(-1)
	err = entries(archive[layer.from:layer.to], func(h *tar.Header, at span) error {
		if inside < 0 && h.Typeflag == tar.TypeReg && h.Size > 0 {
			inside = at.from
		}
		return nil
	})
	if err == nil && inside < 0 {
		err = fmt.Errorf("layer %s has no file with content", top)
	}
	return layer.from + inside, err
}

// span is where the content of a tar's entry lies.
type span struct{ from, to int64 }

// entries calls f for each entry of an uncompressed tar.
func entries(data []byte, f func(*tar.Header, span) error) error {
	from := bytes.NewReader(data)
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		at := from.Size() - int64(from.Len()) // a tar.Reader reads no further than the header
		if err := f(h, span{at, at + h.Size}); err != nil {
			return err
		}
	}
}

// TestSpoiled holds that of an archive one bit differs, and that it is one of the
// upmost layer, wherever that layer lies in the archive: dockerd saves in an
// order of its own each time.
func TestSpoiled(t *testing.T) {
	t.Parallel()
	file := archivePath(t, "small.docker20.tar")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := spoiled(t, file)
	at, err := inTopLayer(whole)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(whole[at : at+5]); text != "small" { // /etc/message, which the last step of the image copies
		t.Errorf("the upmost layer's file begins with %q, want small", text)
	}
	different := 0
	for i := range whole {
		if whole[i] != spoilt[i] {
			different++
		}
	}
	if different != 1 {
		t.Errorf("%d bytes differ, want 1", different)
	}
}
