package publish

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
)

// A manifest.json that cannot be read is told for what it is, not as absent.
func TestUnreadableManifest(t *testing.T) {
	for manifest, words := range map[string][]string{
		"":                           {"manifest.json", "an empty file"},
		"null":                       {"manifest.json", `"null"`, "of 4 bytes"},
		"hello":                      {"manifest.json", `"hello"`, "of 5 bytes"},
		"\xef\xbb\xbf[]":             {"manifest.json", "byte order mark", "of 5 bytes"},
		"\xff\xfe[\x00]\x00":         {"manifest.json", "UTF-16", "of 6 bytes"},
		`[{"Config":"c`:              {"manifest.json", "of 13 bytes", "save the image again"},
		`[{}]`:                       {"manifest.json", "no Config"},
		`[{"Config":7}]`:             {"manifest.json", "expected a string, found a number"},
		"[" + string(make5MiB(t)):    {"manifest.json", "JSON that is too large", "of 5242881 bytes"},
		`[{"Config":"","Layers":7}]`: {"manifest.json", "expected an array, found a number"},
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
