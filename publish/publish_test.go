package publish

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

func newStore(t testing.TB) *packstore.Store {
	s, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func publishPath(t testing.TB, e ipfs.Store, path string) (*Result, error) {
	a, err := archive.Open(path)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return Publish(context.Background(), a, e, Options{})
}

// publishPipe publishes the same bytes as they would come from a pipe.
func publishPipe(t testing.TB, e ipfs.Store, data []byte) (*Result, error) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = w.Write(data)
		w.Close()
	}()
	before := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = before }()
	return publishPath(t, e, "-")
}

func mustPublish(t testing.TB, e ipfs.Store, path string) *Result {
	t.Helper()
	r, err := publishPath(t, e, path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The name of an image must not depend on how its archive reaches us.
func TestSameRootFromFilePipeAndWrapper(t *testing.T) {
	var wrapped bytes.Buffer
	z := gzip.NewWriter(&wrapped)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]files{"docker20": docker20(), "docker28": docker28(), "layout": layout()} {
		s := newStore(t)
		want := mustPublish(t, s, f.write(t))
		wrapped.Reset()
		z.Reset(&wrapped)
		_, _ = z.Write(f.tar())
		_ = z.Close()
		for how, data := range map[string][]byte{"pipe": f.tar(), "gzip": bytes.Clone(wrapped.Bytes()), "zstd": enc.EncodeAll(f.tar(), nil)} {
			got, err := publishPipe(t, s, data)
			if err != nil {
				t.Fatalf("%s by %s: %v", name, how, err)
			}
			if !got.Root.Equals(want.Root) || got.Stats.NewBytes != 0 {
				t.Errorf("%s by %s: root %s, %d new bytes; from a file %s", name, how, got.Root, got.Stats.NewBytes, want.Root)
			}
		}
	}
}

// Docker's old and new archives of one image are the same image.
func TestErasOfDockerGiveOneImage(t *testing.T) {
	s := newStore(t)
	if a, b := mustPublish(t, s, docker20().write(t)), mustPublish(t, s, docker28().write(t)); !a.Root.Equals(b.Root) {
		t.Errorf("docker 20 gives %s, docker 28 %s", a.Root, b.Root)
	}
}

func TestDockerArchiveBecomesOCI(t *testing.T) {
	s := newStore(t)
	r := mustPublish(t, s, docker20().write(t))
	l, err := ipfs.OpenLayout(context.Background(), s, r.Root)
	if err != nil {
		t.Fatal(err)
	}
	data, err := l.Manifest(context.Background(), l.Index.Manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if m.Config.Digest != digest.FromBytes(configOf(layerTar(1), layerTar(2), layerTar(1))) {
		t.Error("the config has another digest than in the archive")
	}
	if len(m.Layers) != 3 || m.Layers[0].Digest != m.Layers[2].Digest {
		t.Fatalf("layers %v, want three, the last like the first", m.Layers)
	}
	for i, want := range [][]byte{layerTar(1), layerTar(2), layerTar(1)} {
		if m.Layers[i].MediaType != ocispec.MediaTypeImageLayerGzip {
			t.Errorf("layer %d has media type %s", i, m.Layers[i].MediaType)
		}
		if got := gunzip(t, l, m.Layers[i]); !bytes.Equal(got, want) {
			t.Errorf("layer %d has other content", i)
		}
	}
}

func gunzip(t *testing.T, l *ipfs.Layout, desc ocispec.Descriptor) []byte {
	blob, err := l.Fetch(context.Background(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	z, err := gzip.NewReader(blob)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestLayoutKeepsItsDigests(t *testing.T) {
	s := newStore(t)
	r := mustPublish(t, s, layout().write(t))
	l, err := ipfs.OpenLayout(context.Background(), s, r.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range layout() {
		d := claimedDigest(e.name)
		if d == "" {
			continue
		}
		f, err := l.Open(context.Background(), d, 0)
		if err != nil {
			t.Errorf("blob %s: %v", d, err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, e.data) {
			t.Errorf("blob %s: %d bytes, %v", d, len(got), err)
		}
		f.Close()
	}
	if len(r.Absent) != 1 || !strings.Contains(r.Absent[0], "linux/arm64") {
		t.Errorf("absent: %q, want linux/arm64", r.Absent)
	}
	if want := []string{"linux/amd64"}; !slices.Equal(r.Images[0].Platforms, want) {
		t.Errorf("platforms %v, want %v", r.Images[0].Platforms, want)
	}
}

// A layout that was written out or pulled is published under the same name.
func TestDirectoryPublishedAgain(t *testing.T) {
	for name, f := range map[string]files{"docker20": docker20(), "layout": layout()} {
		s := newStore(t)
		want := mustPublish(t, s, f.write(t))
		a, err := archive.Open(f.write(t))
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "out")
		written, err := ToDirectory(context.Background(), a, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		again := mustPublish(t, s, dir)
		if !written.Root.Equals(want.Root) || !again.Root.Equals(want.Root) {
			t.Errorf("%s: %s from the archive, %s written out, %s published again", name, want.Root, written.Root, again.Root)
		}
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	}
}

// What cannot be right is refused by name and leaves the store as it was.
func TestRefused(t *testing.T) {
	one := layerTar(1)
	evil := func(e entry) files { return append(files{e}, docker20()...) }
	for name, test := range map[string]struct {
		data []byte
		says string
	}{
		"diff_id contradicts the layer": {docker20().replace("bb/layer.tar", layerTar(3)).tar(), "expects diff_id"},
		"layer missing":                 {docker20().without("bb/layer.tar").tar(), "bb/layer.tar"},
		"link to nothing":               {docker20().without("aa/layer.tar").tar(), "aa/layer.tar"},
		"config missing":                {docker20().without("cfg.json").tar(), "cfg.json"},
		"config broken":                 {docker20().replace("cfg.json", []byte("{")).tar(), "cfg.json"},
		"manifest.json broken":          {docker20().replace("manifest.json", []byte("[{]")).tar(), "manifest.json"},
		"no image listed":               {docker20().replace("manifest.json", []byte("[]")).tar(), "no image"},
		"layer is no tar":               {docker20().replace("bb/layer.tar", bytes.Repeat([]byte("x"), 600)).tar(), "bb/layer.tar"},
		"compressed layer of 3 bytes":   {docker20().replace("bb/layer.tar", []byte{0x1f, 0x8b, 8}).tar(), "bb/layer.tar"},
		"path traversal":                {evil(entry{name: "../evil", data: one}).tar(), "../evil"},
		"traversal behind a slash":      {evil(entry{name: "/../evil", data: one}).tar(), "/../evil"},
		"looping links":                 {docker20().replace("manifest.json", []byte(`[{"Config":"x","Layers":[]}]`)).append(entry{name: "x", link: "y"}).append(entry{name: "y", link: "x"}).tar(), "circle"},
		"entry twice":                   {docker20().add("bb/layer.tar", one).tar(), "bb/layer.tar"},
		"blob does not match its name":  {layout().replace(oci.BlobPath(digest.FromBytes(one)), layerTar(2)).tar(), digest.FromBytes(one).Encoded()},
		"blob missing":                  {layout().without(oci.BlobPath(digest.FromBytes(one))).tar(), digest.FromBytes(one).Encoded()},
		"another layout version":        {layout().replace("oci-layout", []byte(`{"imageLayoutVersion":"2.0.0"}`)).tar(), "2.0.0"},
		"index.json broken":             {layout().replace("index.json", []byte(`{"schemaVersion":2,"manifests":[{]}`)).tar(), "index.json"},
		"index.json empty":              {layout().replace("index.json", []byte(`{"schemaVersion":2,"manifests":null}`)).tar(), "no image"},
		"no image at all":               {files{}.add("README", []byte("hello")).tar(), "README"},
		"no end marker":                 {docker20().tar()[:len(docker20().tar())-1024], "truncated"},
		"not a tar":                     {bytes.Repeat([]byte("hello"), 500), "expected a tar"},
		"xz":                            {append([]byte("\xfd7zXZ\x00"), make([]byte, 600)...), "xz -dc"},
		"empty":                         {nil, "empty"},
	} {
		for how, publish := range map[string]func(ipfs.Store) (*Result, error){
			"file": func(e ipfs.Store) (*Result, error) { return publishPath(t, e, writeFile(t, test.data)) },
			"pipe": func(e ipfs.Store) (*Result, error) { return publishPipe(t, e, test.data) },
		} {
			s := newStore(t)
			before := listing(t, s.Path())
			r, err := publish(s)
			if err == nil {
				t.Errorf("%s (%s): published as %s", name, how, r.Root)
				continue
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s (%s): error %q does not say %q", name, how, err, test.says)
			}
			if after := listing(t, s.Path()); !slices.Equal(after, before) {
				t.Errorf("%s (%s): the store had %v, has %v", name, how, before, after)
			}
		}
	}
}

// Cut off anywhere, an archive is refused and nothing is left of it.
func TestTruncatedAnywhere(t *testing.T) {
	for name, f := range map[string]files{"docker20": docker20(), "docker28": docker28(), "layout": layout()} {
		data := f.tar()
		s := newStore(t)
		before := listing(t, s.Path())
		for end := 512; end < len(data)-1024; end += 512 {
			if r, err := publishPipe(t, s, data[:end]); err == nil {
				t.Fatalf("%s cut at %d of %d is published as %s", name, end, len(data), r.Root)
			}
		}
		if after := listing(t, s.Path()); !slices.Equal(after, before) {
			t.Errorf("%s: the store had %v, has %v", name, before, after)
		}
	}
}

func TestFailedDirectoryLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	a, err := archive.Open(docker20().without("bb/layer.tar").write(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ToDirectory(context.Background(), a, dir, Options{}); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", dir, err)
	}
}

func TestCompressionNone(t *testing.T) {
	s := newStore(t)
	for _, f := range []files{docker20(), docker28()} {
		a, err := archive.Open(f.write(t))
		if err != nil {
			t.Fatal(err)
		}
		r, err := Publish(context.Background(), a, s, Options{Compression: layer.Options{Compression: layer.None}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := ipfs.OpenLayout(context.Background(), s, r.Root)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Blob(context.Background(), digest.FromBytes(layerTar(1))); err != nil {
			t.Errorf("the layer is not stored as it is: %v", err)
		}
	}
}

func listing(t *testing.T, dir string) []string {
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if !slices.Contains([]string{"lock", "gate", "collected"}, filepath.Base(path)) { // made by the first who needs them
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
