package archive

import (
	"bytes"
	"io"
	"os"
	"slices"
	"testing"
)

// compressed is a tar with one entry in each form that is read.
func compressed(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, wrap := range wrappers(t) {
		var data bytes.Buffer
		z := wrap(&data)
		tarOf(t, z, 100_000)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		all[name] = data.Bytes()
	}
	var err error
	if all["bzip2"], err = os.ReadFile("testdata/small.tar.bz2"); err != nil {
		t.Fatal(err)
	}
	return all
}

// What bsdtar writes into a pipe ends with zeros; they are no content.
func TestPadding(t *testing.T) {
	for name, data := range compressed(t) {
		for _, zeros := range []int{0, 1, 2, 3, 4, 511, 10240, 1 << 20} {
			a, err := open(t, append(bytes.Clone(data), make([]byte, zeros)...))
			if err != nil {
				t.Fatalf("%s with %d zeros: %v", name, zeros, err)
			}
			if entries, err := walk(a); err != nil || len(entries) != 1 {
				t.Errorf("%s with %d zeros: %v, %v", name, zeros, entries, err)
			}
		}
	}
}

// Whatever else is behind the compressed data was not meant to be there.
func TestTrailingGarbage(t *testing.T) {
	for name, data := range compressed(t) {
		refused(t, name, append(bytes.Clone(data), "garbage"...), name, "appended")
		zeros := append(bytes.Clone(data), make([]byte, 600)...)
		refused(t, name+" behind zeros", append(zeros, 'x'), name)
	}
}

// Members, frames and streams of one file are one content, as gzip, zstd and
// bzip2 themselves have it.
func TestSeveralMembers(t *testing.T) {
	skippable := []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc")
	for name, data := range compressed(t) {
		once, twice := inflateAll(t, data), inflateAll(t, slices.Concat(data, data, make([]byte, 100)))
		if !bytes.Equal(twice, slices.Concat(once, once)) {
			t.Errorf("%s: twice %d bytes become %d", name, len(once), len(twice))
		}
		if name == "zstd" && !bytes.Equal(inflateAll(t, slices.Concat(skippable, data, skippable)), once) ||
			name == "lz4" && !bytes.Equal(inflateAll(t, slices.Concat(data, skippable, data, skippable)), twice) {
			t.Errorf("%s: skippable frames count as content", name)
		}
	}
}

func inflateAll(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := Inflate(data, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is not read says what to type.
func TestForeignFormats(t *testing.T) {
	for head, words := range map[string][]string{
		"\xfd7zXZ\x00":         {"xz -dc", "image2ipfs publish -"},
		"\x02\x21\x4c\x18":     {"lz4 -dc", "legacy", "image2ipfs publish -"},
		"PK\x03\x04":           {"zip"},
		"<html>":               {"HTML", "error page"},
		`{"schemaVersion": 2}`: {"JSON", "600 bytes", "blobs/"},
		"\x00\x01garbage":      {"600 bytes", "expected a tar"},
	} {
		data := make([]byte, 600)
		copy(data, head)
		refused(t, head, data, words...)
	}
}

func TestLinksResolve(t *testing.T) {
	links := Links{"blobs": "real/blobs", "real/blobs/sha256": "real/sha256", "a": "b", "b": "a", "out": "nowhere"}
	has := func(name string) bool { return name == "real/sha256/x" || name == "plain" }
	for name, want := range map[string]string{"plain": "plain", "blobs/sha256/x": "real/sha256/x", "out": ""} {
		got, ok, err := links.Resolve(name, has)
		if err != nil || ok != (want != "") || ok && got != want {
			t.Errorf("%s: %s, %t, %v", name, got, ok, err)
		}
	}
	for _, name := range []string{"a", "a/x"} {
		if _, _, err := links.Resolve(name, has); err == nil {
			t.Errorf("%s: no circle", name)
		}
	}
}
