package archive

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// gzipOf is data, compressed.
func gzipOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is compressed and no tar is told for what it is, with what to type where that
// helps.
func TestWrongThingInside(t *testing.T) {
	var plain bytes.Buffer
	tarOf(t, &plain, 5000)
	for inside, words := range map[string][]string{
		string(gzipOf(t, plain.Bytes())):          {"compressed once more, with gzip", "gzip -dc ", "| gzip -dc | image2ipfs publish -"},
		"\xfd7zXZ\x00" + strings.Repeat("x", 600): {"compressed with gzip", "xz, which is not read", "| xz -dc | image2ipfs publish -"},
		"PK\x03\x04" + strings.Repeat("x", 600):   {"zip"},
		"<html>":                                  {"HTML"},
		`{"schemaVersion": 2}`:                    {"JSON", "20 bytes"},
		"":                                        {"nothing"},
		"hi":                                      {`"hi"`, "2 bytes"},
		"something " + strings.Repeat("longer ", 1000): {"expected a tar", `"somethin"`},
	} {
		refused(t, inside[:min(len(inside), 10)], gzipOf(t, []byte(inside)), words...)
	}
}

// A bzip2 file that was cut off stays one, wherever that was.
func TestBzip2CutAnywhere(t *testing.T) {
	whole, err := os.ReadFile("testdata/small.tar.bz2")
	if err != nil {
		t.Fatal(err)
	}
	for n := 10; n < len(whole); n++ {
		refused(t, "cut", whole[:n], "truncated bzip2")
	}
}

// A size beyond all files is the archive's fault, and told alike from a file and a pipe.
func TestSizeBeyondFiles(t *testing.T) {
	var b bytes.Buffer
	tarOf(t, &b, 100)
	data := b.Bytes()
	field := data[124:136] // size, base-256
	clear(field)
	field[0] = 0x80
	binary.BigEndian.PutUint64(field[4:], 1<<62)
	sum := 8 * int(' ')
	for i, c := range data[:512] {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(data[148:156], octal(sum))
	refused(t, "file", data, "4611686018427387904 bytes", "save the image again")
	_, err := walk(Stream("pipe", io.NopCloser(bytes.NewReader(data))))
	if err == nil || !strings.Contains(err.Error(), "4611686018427387904 bytes") {
		t.Errorf("pipe: %v", err)
	}
}

// octal is a checksum as tar writes it.
func octal(n int) string {
	digits := []byte("000000\x00 ")
	for i := 5; i >= 0; i-- {
		digits[i] = byte('0' + n%8)
		n /= 8
	}
	return string(digits)
}

// GNU tar's labels and lists of directories are no files; what is behind them is read.
func TestGNUTypes(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Typeflag: gnuVolume, Name: "label"}, {Typeflag: gnuDumpdir, Name: "dir/", Size: 7}, {Typeflag: tar.TypeReg, Name: "dir/a", Size: 7},
	} {
		h.Format = tar.FormatGNU
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("content")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := open(t, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	err = a.Walk(t.Context(), nil, func(e Entry) error {
		if e.Refused != nil {
			t.Error(e.Refused)
		}
		names = append(names, e.Name)
		return nil
	})
	if err != nil || !slices.Equal(names, []string{"dir/a"}) {
		t.Errorf("entries %q, %v", names, err)
	}
}

// Two archives one behind the other are not read as the first alone.
func TestTwoTars(t *testing.T) {
	var one bytes.Buffer
	tarOf(t, &one, 100)
	two := slices.Concat(one.Bytes(), make([]byte, 5*blockSize), one.Bytes())
	refused(t, "file", two, "another tar")
	refused(t, "compressed", gzipOf(t, two), "another tar")
	if _, err := walk(Stream("pipe", io.NopCloser(bytes.NewReader(two)))); err == nil || !strings.Contains(err.Error(), "another tar") {
		t.Errorf("pipe: %v", err)
	}
	a, err := open(t, append(bytes.Clone(one.Bytes()), bytes.Repeat([]byte("x"), 700)...))
	if err == nil {
		_, err = walk(a)
	}
	if err != nil {
		t.Errorf("garbage behind the end, which tar passes over: %v", err)
	}
}

// Names of directories need not be UTF-8. Errors name the directory that was opened.
func TestDirectoryNotUTF8(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "caf\xe9")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Skip("this file system takes no such names")
	}
	for _, name := range []string{filepath.Join(sub, "a"), filepath.Join(dir, "b")} {
		if err := os.WriteFile(name, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Size() != 14 {
		t.Errorf("%d bytes", a.Size())
	}
	var names []string
	err = a.Walk(t.Context(), nil, func(e Entry) error {
		content, err := io.ReadAll(e.Content)
		if string(content) != "content" {
			t.Errorf("%q: %q", e.Name, content)
		}
		names = append(names, e.Name)
		return err
	})
	if err != nil || !slices.Equal(names, []string{"b", "caf\xe9/a"}) {
		t.Errorf("entries %q, %v", names, err)
	}
	broken := io.ErrNoProgress
	if err := a.Walk(t.Context(), nil, func(Entry) error { return broken }); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v does not name %s", err, dir)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestShellWord(t *testing.T) {
	for path, want := range map[string]string{"my img": "'my img'", "it's": `'it'\''s'`, "-x": "./-x", "- x": "'./- x'", "a/b-1.tar": "a/b-1.tar", "": "''", "$(id)": "'$(id)'"} {
		if got := ShellWord(path); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
}
