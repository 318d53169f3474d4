//go:build unix

package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/program"
)

// unpackStore unpacks a store of testdata/stores, and gives its path.
func unpackStore(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return root.Name()
		}
		if err == nil && h.Typeflag == tar.TypeDir {
			err = root.MkdirAll(h.Name, 0o700)
		} else if err == nil {
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = root.WriteFile(h.Name, data, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// storesBefore are what is in the stores of testdata/stores, each made by the program as it
// was: the names that ls lists, those that the registry of pushes answers to, and keys of
// names that move.
var storesBefore = map[string]struct{ names, pushed, moving []string }{
	"1-first": {names: []string{"app:1", "app:2"}},                                                                                                                                                                       // pack files and records of roots
	"2-push":  {names: []string{"app:1", "app:2", "team/pushed:1", "team/pushed:2"}, pushed: []string{"team/pushed:1", "team/pushed:2"}},                                                                                 // records of pushes
	"3-names": {names: []string{"app:1", "app:2", "team/stable:1", "team/pushed:1", "team/pushed:2"}, pushed: []string{"app:1", "app:2", "team/stable:1", "team/pushed:1", "team/pushed:2"}, moving: []string{"moving"}}, // local names, names that move
}

// Stores that every earlier form of the program has made are read, verified, served,
// published into, copied, restored and collected, and lose nothing by it.
func TestStoresOfBefore(t *testing.T) {
	files, err := filepath.Glob("testdata/stores/*.tar.gz")
	if err != nil || len(files) != len(storesBefore) {
		t.Fatalf("%d stores, %v, expected %d", len(files), err, len(storesBefore))
	}
	archive := filepath.Join(t.TempDir(), "new.tar")
	check(writeArchive(archive, kinds["oci"]([]string{"new:1"})))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".tar.gz")
		t.Run(name, func(t *testing.T) {
			want, dir := storesBefore[name], unpackStore(t, file)
			whole := func(dir string, names ...string) {
				t.Helper()
				listed := mustRun(t, onStore(t, dir, "ls"))
				for _, name := range names {
					if !strings.Contains(listed, name) {
						t.Errorf("%s is not listed: %s", name, listed)
					}
					mustRun(t, onStore(t, dir, "verify", "-q", name))
				}
				mustRun(t, onStore(t, dir, "verify", "--all", "-q"))
			}
			whole(dir, want.names...)
			mustRun(t, onStore(t, dir, "gc", "-q"))
			whole(dir, want.names...)
			mustRun(t, onStore(t, dir, "publish", "-q", archive))
			served(t, dir, append(want.pushed, "new:1"))
			mustRun(t, onStore(t, dir, "gc", "-q"))
			whole(dir, append(want.names, "new:1")...)
			for _, key := range want.moving {
				if listed := mustRun(t, onStore(t, dir, "name", "ls")); !strings.Contains(listed, key) {
					t.Errorf("the key %s is gone: %s", key, listed)
				}
				mustRun(t, onStore(t, dir, "name", "publish", key, "new:1"))
			}
			backup, elsewhere := filepath.Join(t.TempDir(), "b.car"), filepath.Join(t.TempDir(), "store")
			mustRun(t, onStore(t, dir, "backup", "-q", backup))
			mustRun(t, onStore(t, elsewhere, "restore", "-q", backup))
			whole(elsewhere, append(want.names, "new:1")...)
			served(t, elsewhere, append(want.pushed, "new:1"))
		})
	}
}

// served fails unless a server of a store gives local names, whole.
func served(t *testing.T, dir string, names []string) {
	t.Helper()
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		check(l.Close())
	}
	cmd := onStore(t, dir, "serve", "--addr", addrs[0], "--push", addrs[1])
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		check(cmd.Process.Signal(os.Interrupt))
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v: %s", err, log.String())
		}
	}()
	waitFor(t, "the server answers", func() bool {
		body, err := fetchText("http://" + addrs[1] + "/healthz")
		return err == nil && strings.Contains(body, "ok")
	})
	for _, name := range names {
		repository, tag, _ := strings.Cut(name, ":")
		manifest, err := program.Get(t.Context(), http.DefaultClient, "http://"+addrs[1]+"/v2/"+repository+"/manifests/"+tag, "")
		if err != nil || len(manifest) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for line := range strings.Lines(mustRun(t, onStore(t, dir, "ls", "-q"))) {
		root, err := ref.ParseRoot(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = program.Get(t.Context(), http.DefaultClient, "http://"+addrs[0]+"/v2/"+ref.Ciq(root)+"/any/manifests/latest", ""); err != nil {
			t.Error(err) // each has one image, which any name below the root means
		}
	}
}
