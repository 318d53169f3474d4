package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// FuzzWalk reads any bytes as an archive: names stay inside, no entry has more
// bytes than it says, a name that was there before says so, and Files finds what Walk finds.
func FuzzWalk(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := open(t, data)
		if err != nil {
			return
		}
		defer a.Close()
		peeked := map[string][]byte{}
		files, peekErr := a.Files(context.Background())
		for _, name := range []string{"index.json", "a"} {
			if files == nil {
				break
			}
			if head, size, ok := files.Head(name, 1<<16); ok && size == int64(len(head)) {
				peeked[name] = head
			}
		}
		links := false
		seen := map[string]bool{}
		err = a.Walk(context.Background(), nil, func(e Entry) error {
			if seen[e.Name] != e.Again || path.IsAbs(e.Name) || e.Name == ".." || strings.HasPrefix(e.Name, "../") || path.IsAbs(e.Link) || strings.HasPrefix(e.Link, "..") && !strings.HasPrefix(e.Link, "...") && (e.Link == ".." || e.Link[2] == '/') {
				t.Errorf("entry %q, link %q", e.Name, e.Link)
			}
			seen[e.Name] = true
			links = links || e.Link != ""
			if e.Content == nil || e.Size > 1<<20 {
				return nil
			}
			content, err := io.ReadAll(e.Content)
			if err == nil && int64(len(content)) != e.Size {
				t.Errorf("entry %q has %d bytes, says %d", e.Name, len(content), e.Size)
			}
			if there, ok := peeked[e.Name]; err == nil && ok && !e.Again && !e.sparse && !links && !bytes.Equal(there, content) {
				t.Errorf("entry %q was other when peeked at", e.Name)
			}
			return err
		})
		if err == nil && peekErr == nil && !links {
			for name := range peeked {
				if !seen[name] {
					t.Errorf("entry %q was there only when peeked at", name)
				}
			}
		}
	})
}

func seeds(f *testing.F) [][]byte {
	var plain, wrapped bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeReg, Name: "a", Size: 5}, {Typeflag: tar.TypeSymlink, Name: "b/c", Linkname: "../a"},
		{Typeflag: tar.TypeLink, Name: "d", Linkname: "a"}, {Typeflag: tar.TypeDir, Name: "e/"},
		{Typeflag: tar.TypeReg, Name: strings.Repeat("x", 120), Format: tar.FormatPAX}, {Typeflag: tar.TypeReg, Name: "index.json", Size: 5},
	} {
		if err := w.WriteHeader(h); err != nil {
			f.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("hello")); err != nil {
				f.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	z := gzip.NewWriter(&wrapped)
	_, _ = z.Write(plain.Bytes())
	_ = z.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	return [][]byte{plain.Bytes(), wrapped.Bytes(), enc.EncodeAll(plain.Bytes(), nil), plain.Bytes()[:700], make([]byte, 1024), nil}
}
