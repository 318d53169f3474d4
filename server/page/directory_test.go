package page

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// tarOf is a tar of empty files.
func tarOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Format: tar.FormatPAX}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Each file of a directory stands on one of its pages, however many there are, and however
// long their names.
func TestDirectoryHasPages(t *testing.T) {
	var names []string
	for n := range 2*maxFilesShown + 1 {
		names = append(names, fmt.Sprintf("many/file-%d", n))
	}
	for n := range 300 {
		names = append(names, fmt.Sprintf("long/%d-%s", n, strings.Repeat("%", 3900)))
	}
	deep := strings.Repeat("d/", 1500) + "file"
	data := tarOf(t, append(names, deep)...)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	root := l.Publish(l.Image("amd64", data))
	p := pageOfRoots(blocks, root)
	query := "?root=" + ref.Ciq(root) + "&layer=" + digest.FromBytes(data).String() + "&path="
	all, n := documents(t, p, query+"many")
	if n != 3 {
		t.Errorf("%d documents", n)
	}
	for n := range 2*maxFilesShown + 1 {
		if strings.Count(all, fmt.Sprintf(">file-%d<", n)) != 1 {
			t.Fatalf("file %d is there %d times", n, strings.Count(all, fmt.Sprintf(">file-%d<", n)))
		}
	}
	if all, n := documents(t, p, query+"long"); n < 3 || strings.Count(all, "<td>reg</td>") != 300 {
		t.Errorf("%d documents have %d of the files", n, strings.Count(all, "<td>reg</td>"))
	}
	w, err := ask(t.Context(), p, query+url.QueryEscape(deep))
	if err != nil || w.Body.Len() > 500_000 || !strings.Contains(w.Body.String(), "<title>file in layer "+short(digest.FromBytes(data).String())+" of app:1 ") {
		t.Errorf("a file deep below: %v, %d bytes", err, w.Body.Len())
	}
}

// A file that is not listed is not said to be absent where the list has an end.
func TestNotListed(t *testing.T) {
	for _, cut := range []bool{false, true} {
		err := notListed(&layer.Listing{Cut: cut, Files: make([]layer.File, 7)}, "etc/late")
		if !errors.Is(err, ErrNoView) || strings.Contains(err.Error(), "is not in the layer") == cut || strings.Contains(err.Error(), "first 7 files") != cut {
			t.Errorf("cut %t: %v", cut, err)
		}
	}
}
