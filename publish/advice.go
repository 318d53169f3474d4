package publish

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// advice says of an archive without an image what it seems to be, and what to do.
func (in *intake) advice() string {
	names := in.Names()
	if isFileSystem(names) {
		return fmt.Sprintf("expected what docker save writes, found the file system of a container (%s): that is what docker export writes; type  docker save IMAGE | image2ipfs publish -  or, for a container, docker commit it first", some(names))
	}
	if it := in.items[dockerarchive.ManifestFile]; it != nil {
		return fmt.Sprintf("expected in %s what docker save writes, found %s: save the image again", it.name, it.describe())
	}
	if name, ok := in.imageBelow(names); ok {
		return fmt.Sprintf("expected %s or %s at the top, found %s: it lies too deep; type  %s", ocispec.ImageIndexFile, dockerarchive.ManifestFile, name, in.publishing(path.Dir(name)))
	}
	if name, ok := blobAtTop(names); ok {
		return fmt.Sprintf("expected %s beside %s/, found %s, which belongs below %s/: publish the directory above it", ocispec.ImageIndexFile, ocispec.ImageBlobsDir, name, ocispec.ImageBlobsDir)
	}
	for _, name := range names {
		dir, base := path.Split(name)
		if base == "Chart.yaml" && strings.Count(dir, "/") <= 1 {
			return fmt.Sprintf("expected an image, found %s: this is a Helm chart; push it to a registry, copy it from there into an OCI layout and publish that", name)
		}
	}
	for _, name := range names {
		if !strings.Contains(name, "/") && (strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar.zst")) {
			return fmt.Sprintf("expected %s or %s, found another archive: unpack and publish %s", ocispec.ImageIndexFile, dockerarchive.ManifestFile, name)
		}
	}
	return fmt.Sprintf("expected %s with %s, or %s, or %s; found %s", ocispec.ImageLayoutFile, ocispec.ImageIndexFile,
		dockerarchive.ManifestFile, dockerarchive.RepositoriesFile, some(names))
}

// imageBelow finds the telling file of an image that lies in a directory, the one
// that is least deep.
func (in *intake) imageBelow(names []string) (found string, ok bool) {
	for _, name := range names {
		if strings.Contains(name, "/") && (!ok || strings.Count(name, "/") < strings.Count(found, "/")) && in.tells(name, names) {
			found, ok = name, true
		}
	}
	return found, ok
}

// tells tells whether a file says which images the directory has that it lies in.
func (in *intake) tells(name string, names []string) bool {
	var data []byte
	if it := in.items[name]; it != nil {
		data = it.data
	}
	dir := path.Dir(name) + "/"
	below := func(pattern string) bool { // a file there
		return slices.ContainsFunc(names, func(n string) bool {
			rest, ok := strings.CutPrefix(n, dir)
			match, err := path.Match(pattern, rest)
			return ok && err == nil && match
		})
	}
	switch path.Base(name) {
	case ocispec.ImageIndexFile:
		return below(ocispec.ImageLayoutFile) || below(ocispec.ImageBlobsDir+"/*/*")
	case dockerarchive.ManifestFile:
		_, isList := dockerarchive.ParseManifest(data)
		return isList || oci.SniffMediaType(data) != ""
	case dockerarchive.RepositoriesFile:
		return below("*/json") && below("*/layer.tar")
	}
	return false
}

// publishing is the command that publishes what lies in a directory of the input.
func (in *intake) publishing(dir string) string {
	if in.input != nil && in.input.IsDirectory() {
		return "image2ipfs publish " + archive.ShellWord(path.Join(in.input.String(), dir))
	}
	file := "FILE"
	if in.input != nil && in.input.Size() >= 0 {
		file = archive.ShellWord(in.input.String())
	}
	return fmt.Sprintf("mkdir unpacked && tar -xf %s -C unpacked && image2ipfs publish %s", file, archive.ShellWord("unpacked/"+dir))
}

// blobAtTop finds what has a blob's name and lies where blobs/ ought to be.
func blobAtTop(names []string) (found string, ok bool) {
	i := slices.IndexFunc(names, func(name string) bool {
		return strings.Count(name, "/") == 1 && claimedDigest(ocispec.ImageBlobsDir+"/"+name) != ""
	})
	if i < 0 {
		return "", false
	}
	return names[i], true
}

// isFileSystem tells what a container or a machine has at its top.
func isFileSystem(names []string) bool {
	tops := map[string]bool{}
	for _, name := range names {
		top, _, _ := strings.Cut(name, "/")
		tops[top] = true
	}
	found := 0
	for _, top := range []string{"bin", "dev", "etc", "home", "lib", "lib64", "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"} {
		if tops[top] {
			found++
		}
	}
	return found >= 2 || tops[".dockerenv"]
}

// some lists the first few entries for an error message.
func some(names []string) string {
	switch {
	case len(names) == 0:
		return "no files at all"
	case len(names) > 5:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}

// describe says what an entry is, and how large.
func (it *item) describe() string {
	what := fmt.Sprintf("something that begins with %q", it.head)
	switch {
	case it.size == 0:
		return "an empty file"
	case bytes.HasPrefix(it.head, []byte("\xef\xbb\xbf")):
		what = "text that begins with a byte order mark, which JSON may not (RFC 8259, section 8.1)"
	case bytes.HasPrefix(it.head, []byte("\xff\xfe")), bytes.HasPrefix(it.head, []byte("\xfe\xff")):
		what = "text in UTF-16, while JSON is UTF-8 (RFC 8259, section 8.1)"
	case it.data != nil:
		what = "JSON"
	case looksJSON(it.head):
		what = "JSON that is too large"
	case it.media == ocispec.MediaTypeImageLayer:
		what = "a tar"
	case it.media == ocispec.MediaTypeImageLayerGzip:
		what = "something compressed with gzip"
	case it.media == ocispec.MediaTypeImageLayerZstd:
		what = "something compressed with zstd"
	}
	return fmt.Sprintf("%s, of %d bytes", what, it.size)
}
