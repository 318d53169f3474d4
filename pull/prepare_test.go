package pull_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/containerd/platforms"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// wanted are platforms of Linux, or all of them for "*".
func wanted(architectures ...string) (w pull.Wanted) {
	for _, a := range architectures {
		if a == "*" {
			return pull.Wanted{All: true}
		}
		w.Platforms = append(w.Platforms, platforms.MustParse("linux/"+a))
	}
	return w
}

// What a target takes of several platforms follows from what it is, and a request
// that it cannot meet is refused instead of being met in part.
func TestPrepare(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	here, other := l.Image(runtime.GOARCH, []byte("here")), l.Image("s390x", []byte("there"))
	index := l.Index(here, other)
	root := l.Publish(oci.Named(index, "app:1"))
	opened, err := layout.Open(t.Context(), blocks, root)
	if err != nil {
		t.Fatal(err)
	}
	dir, tar, docker := pull.Directory("d"), pull.Archive{Path: "a"}, pull.Archive{Path: "a", Docker: true}
	near, containerd := &pull.Docker{}, &pull.Containerd{}
	for name, test := range map[string]struct {
		to     pull.Target
		wanted pull.Wanted
		want   string // digest of what is pulled
		told   int    // platforms that the engine is told
		err    error
	}{
		"a directory takes all":         {dir, wanted(), index.Digest.String(), 0, nil},
		"a directory, asked for all":    {dir, wanted("*"), index.Digest.String(), 0, nil},
		"a directory, one":              {dir, wanted("s390x"), other.Digest.String(), 0, nil},
		"a directory, two":              {dir, wanted("s390x", "arm"), "", 0, pull.ErrTarget},
		"a tar takes all":               {tar, wanted(), index.Digest.String(), 0, nil},
		"a docker archive takes ours":   {docker, wanted(), here.Digest.String(), 0, nil},
		"a docker archive, another":     {docker, wanted("s390x"), other.Digest.String(), 0, nil},
		"a docker archive, all":         {docker, wanted("*"), "", 0, pull.ErrTarget},
		"a docker archive, two":         {docker, wanted("s390x", "arm"), "", 0, pull.ErrTarget},
		"dockerd chooses":               {near, wanted(), index.Digest.String(), 0, nil},
		"dockerd is told":               {near, wanted("s390x"), index.Digest.String(), 1, nil},
		"dockerd, all":                  {near, wanted("*"), "", 0, pull.ErrTarget},
		"containerd gets ours":          {containerd, wanted(), index.Digest.String(), 1, nil},
		"containerd, all":               {containerd, wanted("*"), index.Digest.String(), 0, nil},
		"containerd, one of two absent": {containerd, wanted("s390x", "riscv64"), "", 0, oci.ErrNotFound},
		"what there is not":             {dir, wanted("riscv64"), "", 0, oci.ErrNotFound},
	} {
		job, err := pull.Prepare(t.Context(), opened, ref.Name{Root: root, Repository: "app", Tag: "1"}, test.to, test.wanted)
		if !errors.Is(err, test.err) || err == nil && (job.Image.Target.Digest.String() != test.want || len(job.Platforms) != test.told) {
			t.Errorf("%s: %+v, %v", name, job, err)
		}
	}
}

// A docker archive that lies on IPFS as one file goes where docker archives go.
func TestFile(t *testing.T) {
	blocks := testlayout.NewBlocks()
	content := bytes.Repeat([]byte("archive"), 100_000)
	link, err := ipfs.AddFile(t.Context(), blocks, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	f, err := pull.OpenFile(t.Context(), blocks, link.CID)
	if err != nil || f.Size != int64(len(content)) {
		t.Fatalf("%+v, %v", f, err)
	}
	path := filepath.Join(t.TempDir(), "app.tar")
	if err := f.To(t.Context(), pull.Archive{Path: path, Docker: true}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, to := range []pull.Target{pull.Directory(t.TempDir()), pull.Archive{Path: path}, &pull.Containerd{}} {
		if err := f.To(t.Context(), to); !errors.Is(err, pull.ErrTarget) {
			t.Errorf("%s: %v, want ErrTarget", to, err)
		}
	}
	l := testlayout.New(t, blocks)
	if _, err := pull.OpenFile(t.Context(), blocks, l.Publish(l.Image("amd64", []byte("x")))); !errors.Is(err, ipfs.ErrCorrupt) {
		t.Errorf("a directory: %v, want ErrCorrupt", err)
	}
}
