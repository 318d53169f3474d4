package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// Who looks into a layer sees the same files and bytes whether an index tells of them or
// the layer has to be read, and whatever it is compressed by.
func TestListAndContent(t *testing.T) {
	long := bytes.Repeat([]byte("a line of text that is repeated\n"), 200_000)
	out := "etc/../../out"
	write := func(add func(tar.Header, []byte)) {
		add(tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
		add(tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
		add(tar.Header{Name: "./etc/motd", Mode: 0o640}, []byte("hello\n"))
		add(tar.Header{Name: "./etc/empty"}, nil)
		add(tar.Header{Name: "long"}, long)
		add(tar.Header{Name: "etc/link", Typeflag: tar.TypeSymlink, Linkname: "../motd"}, nil)
		add(tar.Header{Name: out}, []byte("outside"))
	}
	for name, o := range map[string]*Options{
		"plain": nil, "gzip": {Compression: Gzip}, "zstd": {Compression: Zstd}, "lazy gzip": {Compression: Gzip, Lazy: true}, "zstd:chunked": {Compression: Chunked},
	} {
		t.Run(name, func(t *testing.T) {
			if out = "etc/../../out"; name == "zstd:chunked" { // which has no index with it
				out = "out"
			}
			plain := tarOf(t, write)
			blob, annotations := plain, map[string]string(nil)
			if o != nil {
				data, c := compress(t, bytes.NewReader(plain), *o)
				blob, annotations = data, c.Index().Annotations()
			}
			l, err := List(t.Context(), bytes.NewReader(blob), int64(len(blob)), annotations)
			if err != nil {
				t.Fatal(err)
			}
			indexed := strings.Contains(name, "lazy") || strings.Contains(name, "chunked")
			if l.Indexed != indexed || l.Cut {
				t.Errorf("indexed %t, cut %t", l.Indexed, l.Cut)
			}
			found := map[string]File{}
			for _, f := range l.Files {
				found[f.Name] = f
			}
			if f := found["etc/motd"]; f.Kind != "reg" || f.Size != 6 || f.Mode != 0o640 {
				t.Errorf("etc/motd is %+v", f)
			}
			if f := found["etc/link"]; f.Kind != "symlink" || f.Link != "../motd" {
				t.Errorf("etc/link is %+v", f)
			}
			if found["etc"].Kind != "dir" || len(found) != 7 {
				t.Errorf("%d files: %v", len(found), found)
			}
			for name, want := range map[string]string{"etc/motd": "hello\n", "etc/empty": "", "out": "outside", "long": string(long[:300_000])} {
				got, err := l.Content(t.Context(), bytes.NewReader(blob), name, 300_000)
				if err != nil || string(got) != want {
					t.Errorf("%s has %d bytes, %v, want %d", name, len(got), err, len(want))
				}
			}
			for _, name := range []string{"etc", "etc/link", "nothing"} {
				if _, err := l.Content(t.Context(), bytes.NewReader(blob), name, 10); !errors.Is(err, ErrNoFile) {
					t.Errorf("the content of %s: %v", name, err)
				}
			}
		})
	}
}

// What is no layer, or lies in its index, gives an error and nothing else.
func TestListOfGarbage(t *testing.T) {
	for name, data := range map[string][]byte{
		"text": []byte(strings.Repeat("this is no tar", 100)), "half a gzip": {0x1f, 0x8b, 8, 0, 0}, "zstd": {0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0},
	} {
		if l, err := List(t.Context(), bytes.NewReader(data), int64(len(data)), nil); err == nil {
			t.Errorf("%s: %d files and no error", name, len(l.Files))
		}
	}
	if l, err := List(t.Context(), bytes.NewReader(nil), 0, nil); err != nil || len(l.Files) > 0 {
		t.Errorf("no bytes at all: %v, %v", l, err)
	}
	lies := &Listing{Indexed: true, Files: []File{{Name: "a", Kind: typeReg, Size: 10, parts: []place{{offset: -1, size: 10}}}, {Name: "b", Kind: typeReg, Size: 10, parts: []place{{inner: 1 << 60, size: 10}}}}}
	for _, name := range []string{"a", "b"} {
		if _, err := lies.Content(t.Context(), bytes.NewReader(make([]byte, 100)), name, 10); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
