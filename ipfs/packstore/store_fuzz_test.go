package packstore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// storeFiles lists a store's files, locks excepted.
func storeFiles(t testing.TB, path string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil && info.Size() > 0 {
				rel, _ := filepath.Rel(path, name)
				files = append(files, rel)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// FuzzStoreFiles puts any bytes at any place of any file of a store: it may be
// refused or say what is broken, but it must not panic, nor give a block that
// is another when blocks are checked, nor run out of memory.
func FuzzStoreFiles(f *testing.F) { fuzzFiles(f, publishes, useBroken) }

// publishes makes a store in which something was published.
func publishes(f *testing.F, s *packstore.Store) cid.Cid {
	root, _ := storetest.Publish(f, s, fuzzed)
	return root
}

// FuzzPublishOverDamage publishes again over the same: what says success is whole.
func FuzzPublishOverDamage(f *testing.F) {
	fuzzFiles(f, publishes, func(t *testing.T, path string, root cid.Cid) {
		s, err := packstore.Open(path)
		if err != nil {
			return
		}
		defer func() { _ = s.Close() }()
		c, err := storetest.TryPublish(t.Context(), s, fuzzed)
		if err != nil {
			return
		}
		if !c.Equals(root) {
			t.Errorf("published %s, before it was %s", c, root)
		}
		again, err := packstore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = again.Close() }()
		storetest.Check(t, again, c, fuzzed)
	})
}

// fuzzed is what lies in the stores that are damaged.
var fuzzed = map[string][]byte{"a": storetest.Random(5000, "a"), "b": []byte("b")}

// fuzzFiles has a store used that was filled and in which a file is not what it was.
func fuzzFiles(f *testing.F, fill func(f *testing.F, s *packstore.Store) cid.Cid, use func(t *testing.T, path string, root cid.Cid)) {
	template := newPath(f)
	s := open(f, template)
	root := fill(f, s)
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	files := storeFiles(f, template)
	contents := map[string][]byte{}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(template, name))
		if err != nil {
			f.Fatal(err)
		}
		contents[name] = data
	}
	for i := range files {
		f.Add(uint8(i), uint16(0), []byte("\x00\xff"), false)
		f.Add(uint8(i), uint16(40), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), false)
		f.Add(uint8(i), uint16(9), []byte{}, true)
		f.Add(uint8(i), uint16(0), []byte(`{"cid":{"/":"x"},"names":null,"size":-1}`), true)
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, data []byte, cut bool) {
		path := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(path, os.DirFS(template)); err != nil {
			t.Fatal(err)
		}
		name := files[int(which)%len(files)]
		broken := bytes.Clone(contents[name])
		offset := int(at) % len(broken)
		if copy(broken[offset:], data) < len(data) || cut {
			broken = append(broken[:offset], data...)
		}
		file := filepath.Join(path, name)
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		use(t, path, root)
	})
}

func useBroken(t *testing.T, path string, root cid.Cid) {
	s, err := packstore.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }() // of a store that may be broken
	ctx := context.Background()
	if data, err := ipfs.Verified(s).Get(ctx, root); err == nil && ipfs.VerifyBlock(root, data) != nil {
		t.Error("a block that is another")
	}
	_, _ = s.Roots(ctx)
	if _, err := s.GC(ctx, packstore.GCOptions{}); err == nil {
		if _, err := ipfs.Verified(s).Get(ctx, root); err != nil && !errors.Is(err, ipfs.ErrCorrupt) && !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("after gc: %v", err)
		}
	}
}
