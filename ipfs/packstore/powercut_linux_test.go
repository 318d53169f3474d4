package packstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// fragile is a disk that has, after a power cut, nothing but what was flushed: of a file
// its content when that was last flushed, of a directory the names that it had then. It
// is the worst that POSIX allows.
type fragile struct {
	mu    sync.Mutex
	files map[node][]byte
	dirs  map[node]map[string]node // by name
}

// node is a file or directory on disk: numbers of inodes are used again, and so tell
// them apart only together with when they were made.
type node struct {
	inode uint64
	made  unix.StatxTimestamp
	isDir bool
}

// nodeAt gives what is at a path, or with an open file that file.
func nodeAt(path string, file *os.File) (node, error) {
	var st unix.Statx_t
	fd, flags := unix.AT_FDCWD, unix.AT_SYMLINK_NOFOLLOW
	if file != nil {
		fd, flags = int(file.Fd()), unix.AT_EMPTY_PATH
	}
	err := unix.Statx(fd, path, flags, unix.STATX_INO|unix.STATX_TYPE|unix.STATX_BTIME, &st)
	return node{st.Ino, st.Btime, st.Mode&unix.S_IFMT == unix.S_IFDIR}, err
}

// newFragile begins with what is in a directory, on disk as it is.
func newFragile(t *testing.T, root string) *fragile {
	f := &fragile{files: map[node][]byte{}, dirs: map[node]map[string]node{}}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			f.flushDir(path)
			return nil
		}
		file, err := os.Open(path)
		if err == nil {
			f.flushFile(file)
			err = file.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fragile) flushFile(file *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	is, err := nodeAt("", file)
	if err != nil {
		return
	}
	f.files[is], _ = io.ReadAll(io.NewSectionReader(file, 0, 1<<40))
}

func (f *fragile) flushDir(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, err := nodeAt(path, nil)
	if err != nil {
		return
	}
	names := map[string]node{}
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		if is, err := nodeAt(filepath.Join(path, e.Name()), nil); err == nil {
			names[e.Name()] = is
		}
	}
	f.dirs[dir] = names
}

// after writes what is there after a cut into a directory.
func (f *fragile) after(t *testing.T, root, to string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	top, err := nodeAt(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	var restore func(dir node, to string) error
	restore = func(dir node, to string) error {
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		for name, of := range f.dirs[dir] {
			path := filepath.Join(to, name)
			if of.isDir {
				if err := restore(of, path); err != nil {
					return err
				}
			} else if err := os.WriteFile(path, f.files[of], 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	if err := restore(top, to); err != nil {
		t.Fatal(err)
	}
}

// answered is what clients were told is there.
type answered struct {
	mu    sync.Mutex
	blobs map[digest.Digest]string // content
	tags  map[string]digest.Digest
}

func (a *answered) blob(d digest.Digest, content string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blobs[d] = content
}

func (a *answered) tag(name string, d digest.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tags[name] = d
}

const cutRepository = "team/app"

// pushImage pushes an image of which each blob and the tag is noted as soon as it is
// answered.
func pushImage(ctx context.Context, g *pushed.Registry, a *answered, tag string, layers ...string) error {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	for i, content := range append([]string{`{"architecture":"amd64","os":"linux"}`}, layers...) {
		u := g.Begin(ctx, cutRepository, digest.SHA256)
		d := digest.FromString(content)
		if _, err := u.Write([]byte(content)); err != nil {
			return errors.Join(err, u.Cancel())
		}
		if err := u.Commit(ctx, d); err != nil {
			return err
		}
		a.blob(d, content)
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
		if i == 0 {
			desc.MediaType, m.Config = ocispec.MediaTypeImageConfig, desc
			m.Config.MediaType = ocispec.MediaTypeImageConfig
		} else {
			m.Layers = append(m.Layers, desc)
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	d := digest.FromBytes(data)
	_, err = g.PutManifest(ctx, cutRepository, pushed.Manifest{
		Descriptor: ocispec.Descriptor{MediaType: m.MediaType, Digest: d, Size: int64(len(data))}, Content: data, Tags: []string{tag},
	})
	if err == nil {
		a.tag(tag, d)
	}
	return err
}

// What was answered 201 is there after a power cut at any moment, whatever else was under
// way: other pushes, publications, removals and gc.
func TestPowerCut(t *testing.T) {
	root := newPath(t)
	open(t, root)
	disk := newFragile(t, root)
	packstore.WatchSync(t, disk.flushFile, disk.flushDir)
	told := &answered{blobs: map[digest.Digest]string{}, tags: map[string]digest.Digest{}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var steps atomic.Int64
	work := func(name string, run func(s *packstore.Store, i int) error) {
		own := open(t, root)
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := run(own, i); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", name, err)
					cancel()
				}
				steps.Add(1)
			}
		})
	}
	for p := range 2 {
		work("push", func(s *packstore.Store, i int) error {
			own, shared := string(storetest.Random(60<<10, fmt.Sprint("cut", p, i))), string(storetest.Random(1200<<10, fmt.Sprint("cut", i%3)))
			return pushImage(ctx, pushed.New(s, pushed.Options{}), told, fmt.Sprintf("t%d-%d", p, i), own, shared)
		})
	}
	work("publish", func(s *packstore.Store, i int) error {
		c, err := storetest.TryPublish(ctx, s, map[string][]byte{"f": storetest.Random(1200<<10, fmt.Sprint("cut", i%3)), "own": storetest.Random(1000, fmt.Sprint("own", i))})
		if err == nil {
			err = s.Remove(ctx, c)
		}
		return err
	})
	work("gc", func(s *packstore.Store, i int) error { _, err := s.GC(ctx, packstore.GCOptions{}); return err })
	const cuts = 12
	for n := 0; n < cuts && ctx.Err() == nil && !t.Failed(); n++ {
		for target := steps.Load() + 3; steps.Load() < target && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
		told.mu.Lock()
		blobs, tags := maps.Clone(told.blobs), maps.Clone(told.tags)
		told.mu.Unlock()
		to := filepath.Join(t.TempDir(), "cut")
		disk.after(t, root, to)
		afterCut(t, to, blobs, tags)
		t.Logf("cut %d: %d blobs and %d tags were answered", n, len(blobs), len(tags))
	}
	cancel()
	wg.Wait()
	if len(told.tags) == 0 {
		t.Error("nothing was pushed")
	}
}

// afterCut checks a store that has been through a cut, before and after gc.
func afterCut(t *testing.T, path string, blobs map[digest.Digest]string, tags map[string]digest.Digest) {
	t.Helper()
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := pushed.New(s, pushed.Options{}).Repository(cutRepository)
	for _, when := range []string{"after the cut", "after gc"} {
		for d, want := range blobs {
			place, err := r.Locate(t.Context(), d)
			if err != nil {
				t.Errorf("%s: LOST blob %s: %v", when, d, err)
				return
			}
			got, err := ipfs.ReadFile(t.Context(), ipfs.Verified(s), place.CID, 2<<20)
			if err != nil || string(got) != want {
				t.Errorf("%s: LOST blob %s: %d bytes of %d, %v", when, d, len(got), len(want), err)
				return
			}
		}
		for tag, want := range tags {
			name, err := pushed.New(s, pushed.Options{}).Root(t.Context(), cutRepository, tag)
			if err == nil {
				_, err = ipfs.OpenLayout(t.Context(), ipfs.Verified(s), name.Root)
			}
			if err == nil {
				_, err = r.Manifest(t.Context(), want)
			}
			if err != nil {
				t.Errorf("%s: LOST tag %s: %v", when, tag, err)
				return
			}
		}
		if when == "after the cut" {
			if _, err := s.GC(t.Context(), packstore.GCOptions{}); err != nil {
				t.Errorf("gc after the cut: %v", err)
				return
			}
		}
	}
}
