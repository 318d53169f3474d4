package publish

import (
	"errors"
	"fmt"
	"io"
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

// lookup finds an entry, through links.
func (in *intake) lookup(name string) (*item, error) {
	asked := name
	name, err := archive.CleanName(name)
	if err != nil {
		return nil, err
	}
	at, ok, err := in.linked.links.Resolve(name, func(n string) bool { return in.items[n] != nil })
	switch {
	case err != nil:
		return nil, err
	case in.conflicts[name] != nil:
		return nil, in.conflicts[name]
	case ok && in.conflicts[at] != nil:
		return nil, in.conflicts[at]
	case ok:
		return in.items[at], nil
	case at != name:
		return nil, fmt.Errorf("entry %s, to which link %s leads: %w", at, asked, errMissing)
	}
	return nil, fmt.Errorf("entry %s: %w", asked, errMissing)
}

// repeat is an entry whose name was there before.
type repeat struct {
	name   string
	link   string // where it leads, when it is a link
	digest digest.Digest
	size   int64
}

// repeated reads an entry that is there already: tools that write an entry for
// each use of it, or append to a tar, may do so with the same bytes.
func (in *intake) repeated(e archive.Entry) error {
	again := repeat{name: e.Name, link: e.Link, size: e.Size}
	if e.Link == "" {
		hash := algorithm(in.linked.claim(e.Name))
		if it := in.items[e.Name]; it != nil && it.bytes() != "" {
			hash = it.bytes().Algorithm()
		}
		digester := hash.Digester()
		if _, err := io.Copy(digester.Hash(), e.Content); err != nil {
			return fmt.Errorf("entry %s: %w", e.Name, err)
		}
		again.digest = digester.Digest()
	}
	in.repeats = append(in.repeats, again)
	return nil
}

// bytes is the digest of a content as found; empty for what nobody needs.
func (it *item) bytes() digest.Digest {
	if it.digest == "" && it.media == ocispec.MediaTypeImageLayer {
		return it.diffID
	}
	return it.digest
}

// checkRepeats notes names that mean two things: whoever needs one is told.
func (in *intake) checkRepeats() {
	for _, r := range in.repeats {
		if err := in.checkRepeat(r); err != nil && in.conflicts[r.name] == nil {
			in.conflicts[r.name] = fmt.Errorf("%w: entry %s occurs twice%w", archive.ErrFormat, r.name, err)
		}
	}
}

// checkRepeat compares an entry with the one before; the error ends a sentence.
func (in *intake) checkRepeat(r repeat) error {
	if r.link != "" && r.link == in.linked.links[r.name] {
		return nil
	}
	first, err := in.lookup(r.name)
	if err != nil {
		return errors.New(", first as a link that leads nowhere")
	}
	found, size := r.digest, r.size
	if r.link != "" {
		it, err := in.lookup(r.link)
		if err != nil {
			return errors.New(", then as a link that leads nowhere")
		}
		if it == first {
			return nil
		}
		found, size = it.bytes(), it.size
	}
	switch {
	case first.size != size:
		return fmt.Errorf(" with different bytes: %d, then %d", first.size, size)
	case first.bytes() == "" || first.bytes() == found:
		return nil
	case found == "":
		return fmt.Errorf(", first with digest %s, then as a link to %s, whose bytes nothing else needs: save the image again", first.bytes(), r.link)
	}
	return fmt.Errorf(" with different bytes: %d with digest %s, then %d with %s", first.size, first.bytes(), size, found)
}
