package layer

import (
	"archive/tar"
	"bytes"
	"io"
	"path"
	"strings"
	"testing"
)

// withParents gives each directory of a tar an entry, before what lies in it.
func withParents(t testing.TB, plain []byte) []byte {
	t.Helper()
	known := map[string]bool{".": true}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	write := func(h *tar.Header, data io.Reader) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, data); err != nil {
			t.Fatal(err)
		}
	}
	var describe func(dir string)
	describe = func(dir string) {
		if !known[dir] {
			describe(path.Dir(dir))
			write(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}, strings.NewReader(""))
			known[dir] = true
		}
	}
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := path.Clean(h.Name)
		describe(path.Dir(name))
		known[name] = known[name] || h.Typeflag == tar.TypeDir
		write(h, r)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sparse is a tar of a sparse file as GNU tar writes it (GNU tar manual, "PAX
// Format, Version 1.0").
func sparse(t testing.TB) []byte {
	return bytes.ReplaceAll(tarOf(t, func(add func(tar.Header, []byte)) {
		add(tar.Header{Name: "a", PAXRecords: map[string]string{"XXX.sparse.major": "1", "XXX.sparse.minor": "0", "XXX.sparse.name": "a", "XXX.sparse.realsize": "1048576"}},
			append([]byte("1\n1048575\n1\n"), make([]byte, blockSize-11)...))
	}), []byte("XXX.sparse"), []byte("GNU.sparse"))
}

// statingSize is a tar of a directory whose header states a size.
func statingSize(t testing.TB) []byte {
	in := tarOf(t, func(add func(tar.Header, []byte)) { add(tar.Header{Name: "d/", Typeflag: tar.TypeDir}, nil) })
	for i := 0; i < len(in); i += blockSize {
		if h := (*[blockSize]byte)(in[i:]); validHeader(h) && h[156] == '5' {
			copy(h[124:], "00000000010")
			setChecksum(h)
		}
	}
	return in
}
