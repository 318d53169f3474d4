package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// ErrNoNames is matched by errors about stores that keep no local names.
var ErrNoNames = errors.New("no local names")

// registries are those that the stores have.
func (s Stores) registries() (all []*pushed.Registry) {
	for _, store := range s {
		if r, ok := store.(ipfs.Recorder); ok {
			all = append(all, pushed.New(r, pushed.Options{}))
		}
	}
	return all
}

// names is where local names are set.
func (s Stores) names() (*pushed.Registry, error) {
	if all := s.registries(); len(all) > 0 {
		return all[0], nil
	}
	return nil, fmt.Errorf("%w: the embedded store keeps them, and there is none: image2ipfs publish and serve make one", ErrNoNames)
}

// ParseName reads a local name, "repository[:tag]", all of which counts: the repository
// may begin like a registry's host. The error says what is wrong with one that can be
// none.
func ParseName(arg string) (repository, tag string, err error) {
	if name, _, digested := strings.Cut(arg, "@"); digested {
		return "", "", fmt.Errorf("%q has a digest, which is no part of a local name: %s", arg, name)
	}
	repository, tag, _ = ref.CutTag(arg)
	tag = cmp.Or(tag, oci.DefaultTag)
	err = pushed.CheckName(repository, tag)
	if host, rest, found := strings.Cut(arg, "/"); err != nil && found && strings.Contains(host, ":") {
		err = fmt.Errorf("%w; the host of a registry is no part of it: %s", err, rest)
	}
	return repository, tag, err
}

// Tag has a local name mean what old does, any name that [Stores.Find] finds. Was is what
// the name was before, with no root when it was nothing.
func (s Stores) Tag(ctx context.Context, name, old string) (is, was pushed.Local, err error) {
	repository, tag, err := ParseName(name)
	if err != nil {
		return is, was, err
	}
	from, err := s.Find(ctx, old)
	if err != nil {
		return is, was, err
	}
	to, err := s.imageOf(ctx, from)
	if err != nil {
		return is, was, err
	}
	to.Repository, to.Tag = repository, tag
	names, err := s.names()
	if err != nil {
		return is, was, err
	}
	before, err := names.History(ctx, repository, tag)
	if err != nil && !errors.Is(err, ipfs.ErrNotFound) {
		return is, was, err
	}
	if len(before) > 0 {
		was = before[0]
	}
	if _, err := names.SetNames(ctx, from.Root, pushed.ByTag, to); err != nil {
		return is, was, err
	}
	after, err := names.History(ctx, repository, tag)
	if err == nil {
		is = after[0]
	}
	return is, was, err
}

// imageOf is the one image that a name means, and what its root calls it.
func (s Stores) imageOf(ctx context.Context, name ref.Name) (n pushed.Name, err error) {
	l, err := s.Layout(ctx, name)
	if err != nil {
		return n, err
	}
	if n.Image, err = l.Resolve(ctx, name); err != nil {
		return n, err
	}
	listed, _ := l.Entry(n.Image.Digest)
	tagged := slices.DeleteFunc(slices.Clone(listed.Names), func(i oci.ImageName) bool { return i.Repository == "" || i.Tag == "" })
	if len(tagged) > 0 {
		n.Named = tagged[0].String()
	}
	for _, i := range tagged {
		if i.Repository == name.Repository && i.Tag == name.Tag {
			n.Named = i.String()
		}
	}
	return n, nil
}

// Untag takes a local name away, which the error matches [ipfs.ErrNotFound] for when it is
// none. What it was stays, by its CID.
func (s Stores) Untag(ctx context.Context, name string) (was pushed.Local, err error) {
	repository, tag, err := ParseName(name)
	if err != nil {
		return was, err
	}
	names, err := s.names()
	if err != nil {
		return was, err
	}
	before, err := listed(name, func(name string) ([]pushed.Local, error) {
		repository, tag, _ := ref.CutTag(name)
		return names.History(ctx, repository, cmp.Or(tag, oci.DefaultTag))
	})
	if err != nil {
		return was, err
	}
	_, err = names.DeleteTag(ctx, repository, tag)
	return before[0], err
}

// History lists what a local name is and was, "repository:tag", or all of a repository;
// see [pushed.Registry.History]. All of the name counts.
func (s Stores) History(ctx context.Context, arg string) ([]pushed.Local, error) {
	repository, tag, _ := ref.CutTag(arg)
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	return names.History(ctx, repository, tag)
}

// Named is what became of the names of what was published: local names that are set,
// and those that somebody else has set and that stay what they are.
type Named struct{ Set, Left []string }

// Image is an image of a root, by one of its names there, "repository:tag" or none.
type Image struct {
	Name       string
	Descriptor ocispec.Descriptor
}

// CountImages tells how many images these are, whatever each is called.
func CountImages(images []Image) int {
	seen := map[digest.Digest]bool{}
	for _, i := range images {
		seen[i.Descriptor.Digest] = true
	}
	return len(seen)
}

// Publish gives the images of a root that was published on a store the local names that
// they have, where these are free or were last set so: those with repository and tag of
// which [ParseName] takes both. A store that keeps no local names gets none.
func Publish(ctx context.Context, store ipfs.Store, root cid.Cid, images []Image) (done Named, err error) {
	r, ok := store.(ipfs.Recorder)
	if !ok {
		return done, nil
	}
	var names []pushed.Name
	for _, i := range images {
		n := pushed.Name{Image: i.Descriptor, Named: i.Name}
		var tagged bool
		n.Repository, n.Tag, tagged = ref.CutTag(i.Name)
		if tagged && pushed.CheckName(n.Repository, n.Tag) == nil && !slices.ContainsFunc(names, func(o pushed.Name) bool { return o.String() == n.String() }) {
			names = append(names, n)
		}
	}
	left, err := pushed.New(r, pushed.Options{}).SetNames(ctx, root, pushed.ByPublish, names...)
	for _, n := range names {
		if slices.ContainsFunc(left, func(l pushed.Name) bool { return l.String() == n.String() }) {
			done.Left = append(done.Left, n.String())
		} else {
			done.Set = append(done.Set, n.String())
		}
	}
	return done, err
}
