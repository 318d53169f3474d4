package legacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Limits of what is read to find the names in a tree: an old one has a single
// name, but any directory of IPFS can be asked for.
const (
	maxDirs    = 32 // directories
	maxDepth   = 16 // components of a name
	maxEntries = 16 // of a directory on the way to a name
	maxTags    = 64 // of a name

	maxListed = 512 << 10 // bytes of the directories that are listed
	maxKept   = 4 << 20   // bytes of memory for the directories of blobs
)

// place is one name in a tree.
type place struct {
	name      string
	manifests *ipfs.Dir // for listing
	blobs     *ipfs.Dir // for look-ups
}

// finder looks for the directories that have manifests/ and blobs/.
type finder struct {
	g      ipfs.Getter
	listed ipfs.Getter // g, as far as maxListed goes
	read   int
	kept   int64 // bytes of memory of the directories of blobs
	found  []place
}

func newFinder(g ipfs.Getter) *finder {
	return &finder{g: g, listed: ipfs.Budget(g, maxListed)}
}

type entry struct {
	name string
	cid  cid.Cid
}

// entries lists a directory in the order of names; nil when it has more than
// most, or takes too much reading.
func entries(ctx context.Context, d *ipfs.Dir, most int) ([]entry, error) {
	var all []entry
	err := d.ForEach(ctx, func(name string, c cid.Cid) error {
		if all = append(all, entry{name, c}); len(all) > most {
			return errTooMany
		}
		return nil
	})
	if errors.Is(err, errTooMany) || errors.Is(err, ipfs.ErrBudget) {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return all, err
}

var errTooMany = errors.New("too many entries")

func (f *finder) find(ctx context.Context, c cid.Cid, name string, depth int) error {
	if f.read++; f.read > maxDirs || depth > maxDepth {
		return nil
	}
	dir, err := ipfs.OpenDir(ctx, f.listed, c)
	if err != nil {
		return err
	}
	below, err := entries(ctx, dir, maxEntries)
	if err != nil {
		return err
	}
	byName := map[string]cid.Cid{}
	for _, e := range below {
		byName[e.name] = e.cid
	}
	if m, b := byName["manifests"], byName["blobs"]; name != "" && m.Defined() && b.Defined() {
		return f.add(ctx, name, m, b)
	}
	for _, e := range below {
		err := f.find(ctx, e.cid, path.Join(name, e.name), depth+1)
		if err != nil && !leadsNowhere(err) {
			return err
		}
	}
	return nil
}

// add opens the directories of a name.
func (f *finder) add(ctx context.Context, name string, manifests, blobs cid.Cid) (err error) {
	p := place{name: name}
	if p.manifests, err = ipfs.OpenDir(ctx, f.listed, manifests); err != nil {
		return err
	}
	if p.blobs, err = ipfs.OpenDir(ctx, f.g, blobs); err != nil {
		return err
	}
	if f.kept += p.blobs.Cost(); f.kept > maxKept {
		return fmt.Errorf("directory %s: %w", blobs, ipfs.ErrBudget)
	}
	f.found = append(f.found, p)
	return nil
}

// leadsNowhere tells whether err is about what is no directory, or is more than
// an old tree has. What cannot be had at the moment may lead to a name.
func leadsNowhere(err error) bool {
	return errors.Is(err, ipfs.ErrNoDir) || errors.Is(err, ipfs.ErrCorrupt) || errors.Is(err, ipfs.ErrBudget)
}

// tag is a file in manifests/.
type tag struct {
	name string // as it is pulled
	file string
	cid  cid.Cid
}

// tags lists the tags of a name. Of <tag>, <tag>-v2 and <tag>-v1, which are one
// tag for clients, the first that is there in the order v2, plain, v1 is taken.
func (p place) tags(ctx context.Context) ([]tag, error) {
	files, err := entries(ctx, p.manifests, 3*maxTags)
	if err != nil {
		return nil, err
	}
	byFile := map[string]cid.Cid{}
	for _, f := range files {
		byFile[f.name] = f.cid
	}
	var tags []tag
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(f.name, "-v1"), "-v2")
		if !oci.ValidTag(name) || slices.ContainsFunc(tags, func(t tag) bool { return t.name == name }) {
			continue
		}
		for _, file := range []string{name + "-v2", name, name + "-v1"} {
			if c, ok := byFile[file]; ok {
				tags = append(tags, tag{name, file, c})
				break
			}
		}
	}
	return tags, nil
}

// blob finds the file of a blob.
func (p place) blob(ctx context.Context, d digest.Digest) (cid.Cid, error) {
	if err := d.Validate(); err != nil {
		return cid.Undef, fmt.Errorf("digest %q: %w", d, err)
	}
	return p.blobs.Lookup(ctx, d.String())
}
