package publish

import (
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
)

// linked are the links of an archive, and which entries are blobs of a layout by way of
// them: links may come in any order, and lead to others.
type linked struct {
	links    archive.Links
	aliases  map[string]digest.Digest // entries to which links in blobs/ lead
	blobDirs map[string]string        // directories to which links lead, and the place in blobs/ of each
	ways     map[string]bool          // all of these names, and the directories above them
}

func newLinked() *linked {
	return &linked{archive.Links{}, map[string]digest.Digest{}, map[string]string{}, map[string]bool{}}
}

// add notes links. A link on the way of one that was there before moves what that leads
// to.
func (l *linked) add(links archive.Links) {
	moved := false
	for name, target := range links {
		l.links[name] = target
		moved = moved || l.ways[name] || isBlobDir(name)
	}
	if moved {
		clear(l.aliases)
		clear(l.blobDirs)
		clear(l.ways)
		links = l.links
	}
	for name := range links {
		if isBlobDir(name) {
			end := l.end(name)
			l.blobDirs[end] = name
			l.pass(end)
		}
	}
	for name := range links {
		if d := l.claim(name); d != "" && !isBlobDir(name) {
			end := l.end(name)
			l.aliases[end] = d
			l.pass(end)
		}
	}
}

// isBlobDir tells the directories of a layout that hold blobs.
func isBlobDir(name string) bool {
	return name == ocispec.ImageBlobsDir || path.Dir(name) == ocispec.ImageBlobsDir
}

func (l *linked) pass(name string) {
	for ; name != "." && name != "/" && !l.ways[name]; name = path.Dir(name) {
		l.ways[name] = true
	}
}

// end follows a link as far as links are known.
func (l *linked) end(name string) string {
	to, _, err := l.links.Resolve(name, func(string) bool { return false })
	if err != nil { // a circle, of which whoever needs it is told
		return name
	}
	return to
}

// claim is the digest that a name states, or that of a link in blobs/; it may be empty.
func (l *linked) claim(name string) digest.Digest {
	if d := claimedDigest(name); d != "" {
		return d
	}
	if d := l.aliases[name]; d != "" {
		return d
	}
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if at, ok := l.blobDirs[dir]; ok {
		return claimedDigest(at + "/" + base)
	}
	if at, ok := l.blobDirs[path.Dir(dir)]; ok {
		return claimedDigest(at + "/" + path.Base(dir) + "/" + base)
	}
	return ""
}

// isOfLayout tells an entry that a layout has and a docker archive of the older
// kind has not.
func isOfLayout(name string) bool {
	top, _, below := strings.Cut(name, "/")
	return top == ocispec.ImageBlobsDir || !below && (top == ocispec.ImageLayoutFile || top == ocispec.ImageIndexFile)
}

// isDockerLayer tells names that docker save, podman and skopeo give to layers in docker
// archives: <id>/layer.tar and <diff ID>.tar.
func isDockerLayer(name string) bool {
	dir, base := path.Split(name)
	id := strings.TrimSuffix(base, ".tar")
	if base == "layer.tar" {
		dir, id = "", strings.TrimSuffix(dir, "/")
	}
	return dir == "" && id != base && digest.NewDigestFromEncoded(digest.SHA256, id).Validate() == nil
}
