package page

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// leastSearched is how many characters of a CID or digest are looked for at least.
const leastSearched = 6

// digestPart matches a digest, or its beginning.
var digestPart = regexp.MustCompile("^sha(256|512):[0-9a-f]{6,}$")

// search gives what tells whether a root is asked for by a part of a name, a pull name, the
// beginning of its CID in any spelling, or of a digest of something in it. Upper and lower
// case are the same. Roots that cannot be read now to look for a digest are counted in o.
func (p *Page) search(ctx context.Context, o *overview) func(r ipfs.Root, current []string) bool {
	query := strings.ToLower(strings.TrimRight(strings.TrimSpace(o.Query), "…")) // as the page shortens what is long
	named, err := ref.ParseName(strings.TrimSpace(o.Query))
	isName := err == nil
	return func(r ipfs.Root, current []string) bool {
		has := func(name string) bool { return strings.Contains(strings.ToLower(name), query) }
		switch {
		case query == "", isName && named.Root.Equals(r.CID), slices.ContainsFunc(r.Names, has), slices.ContainsFunc(current, has), spells(r, query):
			return true
		case !digestPart.MatchString(query):
			return false
		}
		i, err := p.inspect(ctx, r.CID)
		if err != nil {
			if !settled(err) {
				o.Unread++
			}
			return false
		}
		return i.has(query)
	}
}

// spells tells whether a text is the beginning of the CID of a root, however that is spelt.
func spells(r ipfs.Root, text string) bool {
	if len(text) < leastSearched && !strings.HasPrefix(ref.Ciq(r.CID), text) {
		return false
	}
	s := ref.Spell(r.CID)
	return slices.ContainsFunc([]string{s.Ciq, s.V0, s.V1, s.Base36, s.Hex}, func(spelling string) bool {
		return spelling != "" && strings.HasPrefix(strings.ToLower(spelling), text)
	})
}

// has tells whether a digest that begins so is of an image, manifest, config, layer or of
// what refers to one.
func (i *inspected) has(part string) bool {
	is := func(d digest.Digest) bool { return strings.HasPrefix(d.String(), part) }
	for _, one := range i.images {
		if is(one.Digest) {
			return true
		}
		for _, m := range one.manifests {
			if is(m.Digest) || is(m.config.Digest) {
				return true
			}
			for _, l := range m.layers {
				if is(l.Digest) {
					return true
				}
			}
			for _, r := range m.referrers {
				if is(r.Digest) {
					return true
				}
			}
		}
	}
	return false
}
