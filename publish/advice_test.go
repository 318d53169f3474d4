package publish

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// A manifest.json that cannot be read is told for what it is, not as absent.
func TestUnreadableManifest(t *testing.T) {
	for manifest, words := range map[string][]string{
		"":                           {"manifest.json is empty", "no repositories file"},
		"null":                       {"manifest.json", "lists no image", "of 4 bytes"},
		"hello":                      {"manifest.json", `"hello"`, "of 5 bytes"},
		"\xef\xbb\xbf[]":             {"manifest.json", "byte order mark", "of 5 bytes"},
		"\xff\xfe[\x00]\x00":         {"manifest.json", "UTF-16", "of 6 bytes"},
		`[{"Config":"c`:              {"manifest.json", "of 13 bytes", "save the image again"},
		`[{}]`:                       {"manifest.json", "no Config"},
		`[{"Config":7}]`:             {"manifest.json", "expected a string, found the number 7"},
		"[" + string(make5MiB(t)):    {"manifest.json", "JSON that is too large", "of 5242881 bytes"},
		`[{"Config":"","Layers":7}]`: {"manifest.json", "expected an array, found the number 7"},
	} {
		f := docker20().without("repositories").replace("manifest.json", []byte(manifest))
		refusedBy(t, manifest[:min(len(manifest), 20)], f.tar(), words...)
	}
}

func make5MiB(t *testing.T) []byte { t.Helper(); return bytes.Repeat([]byte(" "), 5<<20) }

// What docker export writes is told for that, whatever files named as an image's it has.
func TestExportWithManifestBelow(t *testing.T) {
	f := files{}.add(".dockerenv", nil).add("bin/sh", nil).add("srv/www/manifest.json", []byte("{}")).
		add("srv/images/index.json", []byte("{}")).add("srv/images/oci-layout", []byte("{}"))
	refusedBy(t, "export", f.tar(), "docker export")
	web := files{}.add("www/manifest.json", []byte(`{"name":"web app"}`))
	_, err := publishPath(t, newStore(t), web.write(t))
	if err == nil || strings.Contains(err.Error(), "too deep") {
		t.Errorf("a web app: %v", err)
	}
}

// Advice can be typed: it names a place that is there, quoted for a shell.
func TestAdviceCanBeTyped(t *testing.T) {
	deep := layout().renamed(func(n string) string { return "it's my img/" + n })
	file := deep.write(t)
	_, err := publishPath(t, newStore(t), file)
	if want := "mkdir unpacked && tar -xf " + file + ` -C unpacked && image2ipfs publish 'unpacked/it'\''s my img'`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("tar: %v; want %s", err, want)
	}
	_, err = publishPipe(t, newStore(t), deep.tar())
	if err == nil || !strings.Contains(err.Error(), "tar -xf FILE -C unpacked") {
		t.Errorf("pipe: %v", err)
	}
	dir := deep.unpack(t)
	_, err = publishPath(t, newStore(t), dir)
	if want := "image2ipfs publish '" + dir + `/it'\''s my img'`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("directory: %v; want %s", err, want)
	}
	old := files{}.add("deep/repositories", []byte(`{"a":{"1":"x"}}`)).add("deep/x/json", []byte(`{"id":"x"}`)).add("deep/x/layer.tar", layerTar(1))
	refusedBy(t, "old", old.tar(), "deep/repositories", "too deep", "unpacked/deep")
	data := []byte("{}")
	blob := strings.TrimPrefix(oci.BlobPath(digest.FromBytes(data)), "blobs/")
	refusedBy(t, "blobs", files{}.add(blob, data).tar(), blob, "directory above")
}

// What is beside repositories and lists no image is somebody else's.
func TestForeignManifestBesideRepositories(t *testing.T) {
	old := files{}.add("x/json", []byte(`{"id":"x"}`)).add("x/layer.tar", layerTar(1)).add("repositories", []byte(`{"app":{"1":"x"}}`))
	want := mustPublish(t, newStore(t), old.write(t)).Root
	for _, manifest := range []string{`{}`, `[]`, `["a"]`, `[{"name":"web app"}]`} {
		r, err := publishPath(t, newStore(t), old.add("manifest.json", []byte(manifest)).write(t))
		if err != nil || !r.Root.Equals(want) {
			t.Errorf("%s: %v, %v; want %s", manifest, r, err, want)
		}
	}
	refusedBy(t, "damaged", old.add("manifest.json", []byte(`[{"Config":"x","Layers"`)).tar(), "manifest.json")
}

// No message names a type of Go.
func TestNoGoTypes(t *testing.T) {
	for _, index := range []string{`[]`, `{"manifests":{}}`, `{"manifests":[{"size":"7"}]}`, `{"annotations":7,"manifests":[]}`} {
		_, err := publishPath(t, newStore(t), layout().replace("index.json", []byte(index)).write(t))
		if err == nil || !strings.Contains(err.Error(), "index.json") || strings.Contains(err.Error(), "Go ") || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%s: %v", index, err)
		}
	}
}

// A directory has an image beside names that are not UTF-8.
func TestDirectoryWithOtherNames(t *testing.T) {
	f := layout()
	dir := f.unpack(t)
	if err := os.Mkdir(dir+"/caf\xe9", 0o755); err != nil {
		t.Skip("this file system takes no such names")
	}
	want := mustPublish(t, newStore(t), f.write(t)).Root
	r, err := publishPath(t, newStore(t), dir)
	if err != nil || !r.Root.Equals(want) {
		t.Errorf("%v, %v; want %s", r, err, want)
	}
}

// What occurs twice with other bytes hurts only who needs it, from a file as from a pipe.
func TestTwiceAndNotNeeded(t *testing.T) {
	want := mustPublish(t, newStore(t), layout().write(t)).Root
	f := layout().add("README", []byte("a")).add("README", []byte("b")).add("NEWS", []byte("a")).add("NEWS", []byte("longer")).
		add("other.tar", layerTar(1)).add("other.tar", layerTar(2))
	for _, from := range []files{f, append(f[len(layout()):], layout()...)} {
		for how, publish := range map[string]func() (*Result, error){
			"file": func() (*Result, error) { return publishPath(t, newStore(t), from.write(t)) },
			"pipe": func() (*Result, error) { return publishPipe(t, newStore(t), from.tar()) },
			"gzip": func() (*Result, error) { return publishPipe(t, newStore(t), gzipped(from.tar())) },
		} {
			if r, err := publish(); err != nil || !r.Root.Equals(want) {
				t.Errorf("%s: %v, %v; want %s", how, r, err, want)
			}
		}
	}
	for _, e := range layout() {
		refusedBy(t, e.name, layout().add(e.name, append([]byte(" "), e.data...)).tar(), e.name, "twice")
		if _, err := recompressed(t, newStore(t), layout().add(e.name, append([]byte(" "), e.data...)).write(t)); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s, recompressed: %v", e.name, err)
		}
	}
}

// An index.json that lists nothing beside skopeo's manifest.json is somebody else's.
func TestForeignIndexBesideDir(t *testing.T) {
	l := layout()
	var dir files
	for _, e := range l {
		if d := claimedDigest(e.name); d != "" {
			name := d.Encoded()
			switch media := oci.SniffMediaType(e.data); {
			case oci.IsIndex(media):
				continue
			case oci.IsManifest(media):
				name = "manifest.json"
			}
			dir = dir.add(name, e.data)
		}
	}
	want := mustPublish(t, newStore(t), dir.write(t)).Root
	for _, index := range []string{`{}`, `[]`, "", "text", `{"manifests":[]}`} {
		from := dir.add("index.json", []byte(index))
		for how, publish := range map[string]func() (*Result, error){
			"file": func() (*Result, error) { return publishPath(t, newStore(t), from.write(t)) },
			"pipe": func() (*Result, error) { return publishPipe(t, newStore(t), from.tar()) },
		} {
			if r, err := publish(); err != nil || !r.Root.Equals(want) {
				t.Errorf("%q (%s): %v, %v; want %s", index, how, r, err, want)
			}
		}
	}
}

// A build cache that is an index of layers cannot be compressed again, and says so.
func TestRecompressCache(t *testing.T) {
	f := files{}
	put := func(media string, data []byte) ocispec.Descriptor {
		f = f.add(oci.BlobPath(digest.FromBytes(data)), data)
		return descriptor(media, data)
	}
	cache := oci.NewIndex([]ocispec.Descriptor{put(ocispec.MediaTypeImageLayerGzip, gzipped(layerTar(1))), put(oci.MediaTypeBuildCache, []byte(`{"layers":[]}`))})
	top := put(ocispec.MediaTypeImageIndex, must(json.Marshal(cache)))
	f = f.json("index.json", oci.NewIndex([]ocispec.Descriptor{top}))
	_, err := recompressed(t, newStore(t), f.write(t))
	if err == nil || !strings.Contains(err.Error(), "publish it without --recompress") {
		t.Errorf("recompressed: %v", err)
	}
	mustPublish(t, newStore(t), f.write(t))
	r := mustPublish(t, newStore(t), f.without(oci.BlobPath(digest.FromBytes(gzipped(layerTar(1))))).write(t))
	if len(r.Absent) != 1 || !strings.HasPrefix(r.Absent[0], "a blob of type "+ocispec.MediaTypeImageLayerGzip+" (blob sha256:") {
		t.Errorf("absent %q", r.Absent)
	}
}

// An error says once what kind it is.
func TestLayoutFileRefusedOnce(t *testing.T) {
	for content, words := range map[string]string{"": "an empty file", `{"imageLayoutVersion":"2.0.0"}`: "2.0.0", "[]": "expected an object, found an array"} {
		_, err := publishPath(t, newStore(t), layout().replace("oci-layout", []byte(content)).write(t))
		if err == nil || !strings.Contains(err.Error(), words) || strings.Count(err.Error(), "invalid archive")+strings.Count(err.Error(), "integrity check failed") != 1 {
			t.Errorf("%q: %v", content, err)
		}
	}
}
