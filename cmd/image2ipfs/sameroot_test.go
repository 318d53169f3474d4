package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// forms gives the ways in which an archive reaches the command, by name: the
// argument, and what is on standard input.
func forms(t *testing.T, files []entry) map[string]form {
	t.Helper()
	dir := t.TempDir()
	var plain, packed bytes.Buffer
	check(writeTar(&plain, files))
	z := lz4.NewWriter(&packed)
	must(z.Write(plain.Bytes()))
	check(z.Close())
	wrapped := map[string][]byte{
		"tar": plain.Bytes(), "tar.gz": gzipped(plain.Bytes()), "tar.zst": zstded(plain.Bytes()), "tar.lz4": packed.Bytes(),
	}
	if bzip2, err := exec.LookPath("bzip2"); err == nil { // the standard library only reads it
		cmd := exec.Command(bzip2, "-c")
		cmd.Stdin = bytes.NewReader(plain.Bytes())
		wrapped["tar.bz2"] = must(cmd.Output())
	}
	all := map[string]form{}
	for ending, data := range wrapped {
		path := filepath.Join(dir, "app."+ending)
		check(os.WriteFile(path, data, 0o600))
		all[ending+" file"] = form{path, nil}
		all[ending+" pipe"] = form{"-", data}
	}
	tree := filepath.Join(dir, "app")
	for _, f := range files { // as tar unpacks it; what it would not is no directory
		path := filepath.Join(tree, filepath.FromSlash(f.name))
		if !filepath.IsLocal(f.name) {
			return all
		}
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		_ = os.Remove(path) // the last of several is what stays
		if f.target != "" {
			check(os.Symlink(f.target, path))
		} else {
			check(os.WriteFile(path, f.data, 0o600))
		}
	}
	all["directory"] = form{tree, nil}
	return all
}

type form struct {
	arg   string
	stdin []byte
}

// outcome is the root that a form is published under, or the exit code and what the
// error says, without the input's name.
func (f form) outcome(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("image2ipfs", "publish", "--json", "-n", "-o", filepath.Join(t.TempDir(), "out"), f.arg)
	cmd.Stdin = bytes.NewReader(f.stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := strings.ReplaceAll(errs.String(), "standard input", "INPUT")
		if f.stdin == nil {
			said = strings.ReplaceAll(said, f.arg, "INPUT")
		}
		return err.Error() + ": " + said
	}
	var p published
	check(json.Unmarshal(out.Bytes(), &p))
	return p.Root.V1
}

// The name of an image, or the reason why there is none, must not depend on how its
// archive comes: every kind of archive that there is here, in every form.
func TestEveryKindIsTheSameInEveryForm(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes every kind of archive in a dozen forms")
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			all := forms(t, kinds[kind]([]string{"app:1", "app:2"}))
			want := all["tar file"].outcome(t)
			delete(all, "tar file")
			for how, f := range all {
				if how == "directory" && kind == "twice" {
					continue // a directory has each name once
				}
				if got := f.outcome(t); got != want {
					t.Errorf("%s: %s\ntar file: %s", how, got, want)
				}
			}
		})
	}
}
