package storetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"
)

// tarOf makes a tar with files of many sizes.
func tarOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, size := range []int{0, 100, 20 << 10, 20 << 10, 300 << 10, 2 << 20, 5} {
		err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("file%d", i), Mode: 0o644, Size: int64(size)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(Random(size, fmt.Sprint("tar", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
