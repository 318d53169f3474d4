package server

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ref"
)

// Who limits what is served must be told of each mistake in the list: a line that
// is passed over would be an image too few, an empty list all or nothing.
func TestReadAllowList(t *testing.T) {
	const one, two = "QmRhKG1VGPqEt3cwbehHWroqjhbC1izFCC4wudaJjRgrAk", "QmXobd2Bvr2NaLwvWamszFEZQVw9qMh5rJtdx9CSwQWw5a"
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots, err := ReadAllowList(t.Context(), one+"/app:1", write("# nobody has this\n\n  "+two+"  \n"))
	if err != nil || len(roots) != 2 {
		t.Fatalf("%v, %v", roots, err)
	}
	for i, want := range []string{one, two} {
		if root, err := ref.ParseRoot(want); err != nil || !roots[i].Equals(root) {
			t.Errorf("root %d is %s, want %s", i, roots[i], want)
		}
	}
	for name, test := range map[string]struct {
		values []string
		says   string
	}{
		"no name, no file": {[]string{"nothing"}, "nothing"},
		"empty list":       {[]string{write("# none\n")}, "no image"},
		"no values":        {nil, "no image"},
		"a broken line":    {[]string{one, write(two + "\nnonsense\n")}, "line 2"},
	} {
		if _, err := ReadAllowList(t.Context(), test.values...); !errors.Is(err, ErrAllowList) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want ErrAllowList that says %q", name, err, test.says)
		}
	}
	if _, err := ReadAllowList(t.Context(), t.TempDir()); err == nil || errors.Is(err, ErrAllowList) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory: %v, want the error of reading it", err)
	}
}
