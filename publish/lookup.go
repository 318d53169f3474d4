package publish

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// lookup finds an entry, through links. Errors name the links on the way; they match
// errMissing for what is not there, and [archive.ErrFormat] for links in a circle, for
// what means two things and for what nobody may read.
func (in *intake) lookup(asked string) (*item, error) {
	name, err := archive.CleanName(asked)
	if err != nil {
		return nil, err
	}
	trail, ok, err := in.linked.links.Follow(name, func(n string) bool { return in.items[n] != nil })
	if err != nil {
		return nil, err
	}
	for i, n := range trail {
		if ok && i == len(trail)-1 {
			err = in.conflicts[n]
		} else {
			err = onTheWay(in.conflicts, n)
		}
		if err != nil {
			return nil, err
		}
	}
	end := trail.End()
	if ok {
		return in.items[end], nil
	}
	switch {
	case in.refusal(trail) != nil:
		return nil, in.refusal(trail)
	case len(trail) == 1:
		return nil, fmt.Errorf("entry %s: %w", asked, errMissing)
	case in.isDirectory(end):
		return nil, fmt.Errorf("%w: link %s leads to a directory: expected a file", archive.ErrFormat, trail)
	}
	return nil, fmt.Errorf("link %s leads to %s, which is %w", trail, end, errMissing)
}

// refusal tells why nobody may read that to which links lead; nil where that is not so.
func (in *intake) refusal(trail archive.Trail) error {
	err := onTheWay(in.refused, trail.End())
	if err != nil && len(trail) > 1 {
		return fmt.Errorf("link %s: %w", trail, err)
	}
	return err
}

// onTheWay is what is wrong with a name, or with a directory above it; nil for nothing.
func onTheWay(wrong map[string]error, name string) error {
	if len(wrong) == 0 {
		return nil
	}
	for i, c := range name {
		if c == '/' && wrong[name[:i]] != nil {
			return wrong[name[:i]]
		}
	}
	return wrong[name]
}

// isDirectory tells whether anything lies below a name.
func (in *intake) isDirectory(name string) bool {
	names := in.Names()
	i, _ := slices.BinarySearch(names, name+"/")
	return i < len(names) && strings.HasPrefix(names[i], name+"/")
}

// Names lists the entries of an archive that was read to its end, sorted; with JSON and
// Layer it makes an intake the [dockerarchive.Files] of its archive.
func (in *intake) Names() []string {
	if in.names == nil {
		names := slices.AppendSeq([]string{}, maps.Keys(in.items))
		names = slices.AppendSeq(names, maps.Keys(in.linked.links))
		names = slices.AppendSeq(names, maps.Keys(in.refused))
		slices.Sort(names)
		in.names = slices.Compact(names)
	}
	return in.names
}

// unreadable is what is wrong with an entry that is there, whichever it is; nil for one
// that can be read, or is not there.
func (in *intake) unreadable(name string) error {
	if in.linked.links[name] == "" && in.refused[name] == nil {
		return nil
	}
	_, err := in.lookup(name)
	return err
}

// explained adds to an error about what is not there why the directory is none in which
// a layout has it.
func (in *intake) explained(err error) error {
	if !errors.Is(err, oci.ErrNotFound) {
		return err
	}
	for _, dir := range []string{ocispec.ImageBlobsDir, ocispec.ImageBlobsDir + "/sha256", ocispec.ImageBlobsDir + "/sha512"} {
		trail, _, why := in.linked.links.Follow(dir, func(string) bool { return false })
		if why == nil {
			why = in.refusal(trail)
		}
		if why == nil && len(trail) > 1 && !in.isDirectory(trail.End()) {
			why = in.unreadable(dir)
		}
		if why != nil {
			return fmt.Errorf("%w (%s: %w)", err, dir, why)
		}
	}
	return err
}

// repeat is an entry whose name was there before.
type repeat struct {
	name    string
	link    string // where it leads, when it is a link
	refused error  // why nobody may read it
	digest  digest.Digest
	size    int64
}

// repeated reads an entry that is there already: tools that write an entry for
// each use of it, or append to a tar, may do so with the same bytes.
func (in *intake) repeated(e archive.Entry) error {
	again := repeat{name: e.Name, link: e.Link, refused: e.Refused, size: e.Size}
	if e.Content != nil {
		digester := digest.Canonical.Digester()
		if _, err := io.Copy(digester.Hash(), e.Content); err != nil {
			return fmt.Errorf("entry %s: %w", e.Name, err)
		}
		again.digest = digester.Digest()
	}
	in.repeats = append(in.repeats, again)
	return nil
}

// canonical is the SHA-256 of a content as found.
func (it *item) canonical() digest.Digest {
	switch {
	case it.digest != "" && it.digest.Algorithm() == digest.Canonical:
		return it.digest
	case it.data != nil:
		return digest.FromBytes(it.data)
	case it.digest == "" && it.media == ocispec.MediaTypeImageLayer:
		return it.diffID
	}
	return it.sha256
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
	if r.refused != nil {
		return fmt.Errorf(": %w", r.refused)
	}
	if r.link != "" && r.link == in.linked.links[r.name] {
		return nil
	}
	first, err := in.lookup(r.name)
	if err != nil {
		return fmt.Errorf(", first as what cannot be read: %w", err)
	}
	found, size := r.digest, r.size
	if r.link != "" {
		it, err := in.lookup(r.link)
		if err != nil {
			return fmt.Errorf(", then as a link to %s: %w", r.link, err)
		}
		found, size = it.canonical(), it.size
	}
	if found != first.canonical() || size != first.size {
		return fmt.Errorf(" with different bytes: %d with digest %s, then %d with %s", first.size, first.canonical(), size, found)
	}
	return nil
}
