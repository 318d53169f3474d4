package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
)

// command runs the command in this process.
func command(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot(&out, &errs)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

// keepScenes publishes layouts on the embedded store of the test.
func keepScenes(t *testing.T, scenes []registrytest.Scene) {
	t.Helper()
	t.Setenv("IMAGE2IPFS_PATH", t.TempDir())
	for _, unset := range []string{"IPFS_API", "IPFS_PATH", gatewayEnv} {
		t.Setenv(unset, "")
	}
	path, err := packstore.DefaultPath()
	if err != nil {
		t.Fatal(err)
	}
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, scene := range scenes {
		tx, err := s.Begin(t.Context())
		if err == nil {
			err = scene.Blocks.PutInto(t.Context(), tx)
		}
		if err == nil {
			_, err = tx.Commit(t.Context(), ipfs.Root{CID: scene.Root})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := names.NewStore(names.Dir(s.Path())).Create("key"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// The commands refuse the names that engines are refused, with the same errors, and for
// the others answer as for the root alone, of which some read everything.
func TestCommandsMeanTheSame(t *testing.T) {
	scenes := registrytest.Scenes(t)
	keepScenes(t, scenes)
	of := func(cmd string, name ref.Name) (string, error) {
		return command(t, append(strings.Fields(cmd), name.String())...)
	}
	for _, scene := range scenes {
		for _, cmd := range []string{"inspect", "verify -q", "rm --dry-run", "pin add -q", "ref -f ciq", "du", "ls", "name publish --force key"} {
			t.Run(scene.Name+"/"+cmd, func(t *testing.T) {
				whole, wholeErr := of(cmd, ref.Name{Root: scene.Root})
				for _, m := range scene.Names {
					if m.Name.Plain() {
						continue // all that is there, for each of them
					}
					got, err := of(cmd, m.Name)
					switch {
					case m.Err == nil || strings.HasPrefix(cmd, "ref"): // which is about spelling alone
						if exitCode(err) != exitCode(wholeErr) || err == nil && got != whole {
							t.Errorf("%s: %v, of the root alone %v; printed\n%s\nand\n%s", m.Name, err, wholeErr, got, whole)
						}
					case !errors.Is(err, m.Err) || exitCode(err) != exitCode(m.Err):
						t.Errorf("%s: exit code %d, %v; want %d and an error like %q", m.Name, exitCode(err), err, exitCode(m.Err), m.Err)
					case slices.ContainsFunc(m.Says, func(text string) bool { return !strings.Contains(err.Error(), text) }):
						t.Errorf("%s: %q does not say all of %q", m.Name, err, m.Says)
					}
				}
			})
		}
	}
}
