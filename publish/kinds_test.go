package publish

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pierrec/lz4/v4"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// own is a layout of an image with a compressed layer of its own, and what
// docker save's manifest.json says of it.
func own(sources map[string]any) files {
	one := layerTar(1)
	packed, config := gzipped(one), configOf(one)
	path := func(data []byte) string { return oci.BlobPath(digest.FromBytes(data)) }
	manifest, err := json.Marshal(ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: descriptor(ocispec.MediaTypeImageConfig, config),
		Layers: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayerGzip, packed)},
	})
	if err != nil {
		panic(err)
	}
	f := files{}.add(path(packed), packed).add(path(config), config).add(path(manifest), manifest)
	if sources != nil {
		f = f.json("manifest.json", []manifestItem{{Config: path(config), RepoTags: []string{"app:1"}, Layers: []string{path(packed)}, LayerSources: sources}})
	}
	return f.add("oci-layout", oci.LayoutFile).
		json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(descriptor(ocispec.MediaTypeImageManifest, manifest), "app:1")}))
}

// linked moves the blobs out of blobs/ and leaves links of a kind.
func (f files) linked(kind byte) files {
	out := files{}
	for i, e := range f {
		if !strings.HasPrefix(e.name, "blobs/") {
			out = out.append(e)
			continue
		}
		name := "blobs/" + string(rune('a'+i))
		link := entry{name: e.name, link: "../../" + name, kind: kind}
		if kind == tar.TypeLink {
			link.link = name
		}
		out = out.add(name, e.data).append(link)
	}
	return out
}

func (f files) renamed(change func(string) string) files {
	out := slices.Clone(f)
	for i := range out {
		out[i].name = change(out[i].name)
	}
	return out
}

// unpack writes an archive to a directory, as tar does.
func (f files) unpack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, e := range f {
		name, err := archive.CleanName(e.name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		err = os.MkdirAll(filepath.Dir(path), 0o755)
		_ = os.Remove(path)
		switch {
		case err != nil:
		case e.kind == tar.TypeLink:
			err = os.Link(filepath.Join(dir, e.link), path)
		case e.link != "":
			err = os.Symlink(e.link, path)
		case e.kind == tar.TypeFifo:
			makePipe(t, dir, name)
		default:
			err = os.WriteFile(path, e.data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// noLayers is a layout whose manifest lacks the layers that manifest.json has.
func noLayers() files {
	f := docker28().without("manifest.json")
	one, two := layerTar(1), layerTar(2)
	path := func(data []byte) string { return oci.BlobPath(digest.FromBytes(data)) }
	return f.json("manifest.json", []manifestItem{{Config: path(configOf(one, two, one)), RepoTags: []string{"app:1"}, Layers: []string{path(one), path(two), path(one)}}})
}

// fixtures are archives and, where they are another spelling of one, that one.
func fixtures() map[string]struct{ f, as files } {
	type pair = struct{ f, as files }
	slash := func(name string) string { return "/" + name }
	back := func(name string) string { return strings.ReplaceAll(name, "/", `\`) }
	plain := own(nil)
	text := bytes.Replace(plain[len(plain)-1].data, []byte(`"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",`), nil, 1)
	return map[string]pair{
		"docker20":                            {docker20(), nil},
		"docker28":                            {docker28(), docker20()},
		"layout":                              {layout(), nil},
		"names with a slash in front":         {docker20().renamed(slash), docker20()},
		"names with backslashes":              {docker28().renamed(back), docker20()},
		"an entry twice":                      {docker20().add("bb/layer.tar", layerTar(2)).add("cfg.json", configOf(layerTar(1), layerTar(2), layerTar(1))), docker20()},
		"symbolic links out of blobs":         {plain.linked(tar.TypeSymlink), plain},
		"hard links out of blobs":             {plain.linked(tar.TypeLink), plain},
		"uncompressed layers that are links":  {layout().linked(tar.TypeSymlink), layout()},
		"blobs is a link":                     {plain.renamed(func(n string) string { return strings.Replace(n, "blobs/", "real/", 1) }).append(entry{name: "blobs", link: "real"}), plain},
		"layers' sources, compressed":         {own(map[string]any{"sha256:x": map[string]any{"size": 1}}), plain},
		"layers' sources, none":               {own(map[string]any{}), plain},
		"manifest.json is an object":          {plain.add("manifest.json", []byte(`{"name":"a web app"}`)), plain},
		"manifest.json is somebody's list":    {plain.add("manifest.json", []byte(`["a","b"]`)), plain},
		"manifest.json is a manifest":         {plain.append(entry{name: "manifest.json", data: plain[2].data}), plain},
		"manifest.json is a link":             {docker20().without("manifest.json").add("m", docker20()[6].data).append(entry{name: "manifest.json", link: "m"}), docker20()},
		"no layers in the layout":             {noLayers(), docker20()},
		"no oci-layout":                       {plain.without("oci-layout"), plain},
		"neither schemaVersion nor mediaType": {plain.replace("index.json", text), nil},
		"a broken blob that nothing needs":    {plain.add(oci.BlobPath(digest.FromString("x")), []byte("y")), plain},
		"broken JSON that nothing needs":      {plain.add(oci.BlobPath(digest.FromString("{}")), []byte("{")), plain},
		"a broken layer that nothing needs":   {docker20().add("old.tar.gz", gzipped(layerTar(3))[:100]), docker20()},
	}
}

// The name of an image must not depend on how its archive reaches us, nor on the
// tool that spelt it.
func TestSameRootHoweverItComes(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range fixtures() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			want := mustPublish(t, s, test.f.write(t))
			if test.as != nil {
				if as := mustPublish(t, s, test.as.write(t)); !as.Root.Equals(want.Root) {
					t.Errorf("root %s, as what it stands for %s", want.Root, as.Root)
				}
			}
			data, zeros := test.f.tar(), make([]byte, 4000)
			packed := enc.EncodeAll(data, nil)
			for how, publish := range map[string]func() (*Result, error){
				"pipe":              func() (*Result, error) { return publishPipe(t, newStore(t), data) },
				"directory":         func() (*Result, error) { return publishPath(t, newStore(t), test.f.unpack(t)) },
				"gzip":              func() (*Result, error) { return publishPath(t, newStore(t), writeFile(t, gzipped(data))) },
				"zstd":              func() (*Result, error) { return publishPath(t, newStore(t), writeFile(t, packed)) },
				"lz4":               func() (*Result, error) { return publishPath(t, newStore(t), writeFile(t, lz4d(t, data))) },
				"lz4 from a pipe":   func() (*Result, error) { return publishPipe(t, newStore(t), lz4d(t, data)) },
				"gzip with padding": func() (*Result, error) { return publishPipe(t, newStore(t), slices.Concat(gzipped(data), zeros)) },
				"zstd with padding": func() (*Result, error) { return publishPipe(t, newStore(t), slices.Concat(packed, zeros)) },
			} {
				if got, err := publish(); err != nil || !got.Root.Equals(want.Root) {
					t.Errorf("by %s: %v, %v; from a file %s", how, got, err, want.Root)
				}
			}
		})
	}
}

func lz4d(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := lz4.NewWriter(&out)
	if err := z.Apply(lz4.SizeOption(uint64(len(data))), lz4.BlockChecksumOption(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What cannot be an image says what it seems to be, and what to do.
func TestAdvice(t *testing.T) {
	one := layerTar(1)
	short := own(nil)
	manifest, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: descriptor(ocispec.MediaTypeImageConfig, configOf(one)), Layers: []ocispec.Descriptor{}})
	if err != nil {
		t.Fatal(err)
	}
	short = short.add(oci.BlobPath(digest.FromBytes(manifest)), manifest).
		replace("index.json", must(json.Marshal(oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, manifest)}))))
	for name, test := range map[string]struct {
		f     files
		words []string
	}{
		"docker export":          {files{}.add(".dockerenv", nil).add("bin/busybox", one).append(entry{name: "bin/sh", link: "/bin/busybox"}), []string{"docker export", "docker save"}},
		"one directory too deep": {layout().renamed(func(n string) string { return "my-image/" + n }), []string{"my-image/index.json", "image2ipfs publish "}},
		"helm chart":             {files{}.add("app/Chart.yaml", []byte("name: app")).add("app/values.yaml", nil), []string{"app/Chart.yaml", "Helm chart"}},
		"archive inside":         {files{}.add("app.tar", one), []string{"another archive", "app.tar"}},
		"config is a layer":      {docker20().replace("cfg.json", one), []string{"cfg.json", "expected a JSON file", "a tar", "bytes"}},
		"layers lacking":         {short, []string{"0 layers", "diff_ids of 1"}},
		"entry twice":            {docker20().add("cfg.json", []byte("{}")), []string{"cfg.json", "twice", "different"}},
	} {
		refusedBy(t, name, test.f.tar(), test.words...)
		if name == "entry twice" {
			continue
		}
		if _, err := publishPath(t, newStore(t), test.f.unpack(t)); !errors.Is(err, archive.ErrFormat) || !strings.Contains(err.Error(), test.words[0]) {
			t.Errorf("%s (directory): %v", name, err)
		}
	}
}

func must[T any](data T, err error) T {
	if err != nil {
		panic(err)
	}
	return data
}
