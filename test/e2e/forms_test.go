//go:build e2e

// The archives that real tools wrote, in every form in which they may come.

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	read "github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/test/forms"
)

// TestArchivesInEveryForm publishes each archive from a file, a pipe, a directory
// and each compressed form: the names must be the same. `make test-all` has them
// compressed again, too, and takes large ones of the same tools, which are not.
func TestArchivesInEveryForm(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(archivePath(t, ""))
	if err != nil {
		missing(t, "archives in every form", err.Error())
		t.SkipNow()
	}
	for _, f := range files {
		of, big := forms.Of, strings.HasPrefix(f.Name(), "big.")
		switch {
		case big && !thorough():
			continue
		case big:
			of = forms.Plain
		case !f.IsDir() && !strings.HasSuffix(f.Name(), ".tar"):
			continue // what says by which script they were made
		}
		t.Run(f.Name(), func(t *testing.T) {
			all, err := of(archivePath(t, f.Name()), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range []publish.Options{{}, {Recompress: true}} {
				if o.Recompress && (big || !thorough()) {
					continue
				}
				want := rootOf(t, all[0], o)
				for _, form := range all[1:] {
					if got := rootOf(t, form, o); got != want {
						t.Errorf("%s, recompressed %t: %s, %s: %s", form.Name, o.Recompress, got, all[0].Name, want)
					}
				}
			}
		})
	}
}

// rootOf is the root that a form is published under; the program would take most of
// the time to start and to have all on disk.
func rootOf(t *testing.T, f forms.Form, o publish.Options) (root string) {
	t.Helper()
	err := f.Use(func(a *read.Archive) error {
		dir := filepath.Join(t.TempDir(), "out")
		defer os.RemoveAll(dir)
		r, err := publish.ToDirectory(deadline(t), a, dir, o)
		if err == nil {
			root = r.Root.String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}
