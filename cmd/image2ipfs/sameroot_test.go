package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/test/forms"
)

// outcome is the root that a form is published under, or the exit code and what the
// error says.
func outcome(t *testing.T, f forms.Form, o publish.Options) string {
	t.Helper()
	var root string
	err := f.Use(func(a *archive.Archive) error {
		r, err := publish.ToDirectory(t.Context(), a, filepath.Join(t.TempDir(), "out"), o)
		if err == nil {
			root = r.Root.String()
		}
		return err
	})
	if err != nil {
		return fmt.Sprint(exitCode(err), ": ", err)
	}
	return root
}

// The name of an image, or the reason why there is none, must not depend on how its
// archive comes: every kind of archive that there is here, in every form, as it is
// and compressed again.
func TestEveryKindIsTheSameInEveryForm(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes every kind of archive in a dozen forms, twice")
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			plain, err := os.Create(filepath.Join(dir, "plain.tar"))
			check(err)
			check(writeTar(plain, kinds[kind]([]string{"app:1", "app:2"})))
			check(plain.Close())
			all, err := forms.Of(plain.Name(), dir)
			check(err)
			for _, o := range []publish.Options{{}, {Recompress: true}} {
				want := outcome(t, all[0], o)
				for _, f := range all[1:] {
					if f.Name == forms.Directory && kind == "twice" {
						continue // a directory has each name once
					}
					if got := outcome(t, f, o); got != want {
						t.Errorf("%s, recompressed %t: %s\n%s: %s", f.Name, o.Recompress, got, all[0].Name, want)
					}
				}
			}
		})
	}
}
