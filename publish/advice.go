package publish

import (
	"fmt"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/dockerarchive"
)

// advice says of an archive without an image what it seems to be, and what to do.
// special is false when it is like nothing that is known.
func (in *intake) advice() (text string, special bool) {
	names := in.Names()
	if dir, ok := imageBelow(names); ok {
		return fmt.Sprintf("expected %s or %s at the top, found %s: it lies too deep; publish what is in %s, such as  tar -C %s -c . | image2ipfs publish -",
			ocispec.ImageIndexFile, dockerarchive.ManifestFile, dir, path.Dir(dir)+"/", path.Dir(dir)), true
	}
	for _, name := range names {
		dir, base := path.Split(name)
		if base == "Chart.yaml" && strings.Count(dir, "/") <= 1 {
			return fmt.Sprintf("expected an image, found %s: this is a Helm chart; push it to a registry, copy it from there into an OCI layout and publish that", name), true
		}
	}
	if isFileSystem(names) {
		return fmt.Sprintf("expected what docker save writes, found the file system of a container (%s): that is what docker export writes; type  docker save IMAGE | image2ipfs publish -  or, for a container, docker commit it first", some(names)), true
	}
	for _, name := range names {
		if !strings.Contains(name, "/") && (strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar.zst")) {
			return fmt.Sprintf("expected %s or %s, found another archive: unpack and publish %s", ocispec.ImageIndexFile, dockerarchive.ManifestFile, name), true
		}
	}
	return fmt.Sprintf("expected %s with %s, or %s, or %s; found %s", ocispec.ImageLayoutFile, ocispec.ImageIndexFile,
		dockerarchive.ManifestFile, dockerarchive.RepositoriesFile, some(names)), false
}

// imageBelow finds the telling file of an image that lies in a directory, the one
// that is least deep.
func imageBelow(names []string) (found string, ok bool) {
	for _, name := range names {
		base := path.Base(name)
		if base != ocispec.ImageIndexFile && base != dockerarchive.ManifestFile || !strings.Contains(name, "/") {
			continue
		}
		dir := path.Dir(name) + "/"
		if base == ocispec.ImageIndexFile && !slices.Contains(names, dir+ocispec.ImageLayoutFile) && !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, dir+"blobs/") }) {
			continue
		}
		if !ok || strings.Count(name, "/") < strings.Count(found, "/") {
			found, ok = name, true
		}
	}
	return found, ok
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
