package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// findDigest finds the manifest of that digest under an image name: of its root where it
// has a tag, whose image must be that, else of the newest root of the name that has it.
func (s Stores) findDigest(ctx context.Context, image string, d digest.Digest) (ref.Name, error) {
	if _, tag, _ := ref.CutTag(image); tag != "" {
		name, err := s.find(ctx, image)
		if err != nil {
			return ref.Name{}, err
		}
		if name.Digest != "" && name.Digest != d { // what the root has no tag for
			return ref.Name{}, fmt.Errorf("%w: the name says that %s is %s, but it is %s", oci.ErrManifestUnknown, image, d, name.Digest)
		}
		name.Digest = d
		return name, s.Check(ctx, name)
	}
	found, err := s.Called(ctx, image)
	if err != nil {
		return ref.Name{}, err
	}
	for _, m := range slices.Backward(found) {
		name := ref.Name{Root: m.Name.Root, Repository: m.Name.Repository, Digest: d}
		l, err := s.Layout(ctx, name)
		if err == nil {
			err = l.Check(ctx, name)
		}
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, ipfs.ErrNotFound) {
			return ref.Name{}, err
		}
	}
	return ref.Name{}, fmt.Errorf("%w: nothing that was published as %s has %s", oci.ErrManifestUnknown, image, d)
}

// calledOrDigest is Called for names with a digest as well.
func (s Stores) calledOrDigest(ctx context.Context, arg string) ([]Match, error) {
	if _, err := ref.ParseName(arg); err == nil {
		return s.Called(ctx, arg)
	}
	image, d, err := ref.CutDigest(arg)
	if err != nil {
		return nil, err
	}
	if d == "" {
		return s.Called(ctx, arg)
	}
	name, err := s.findDigest(ctx, image, d)
	if err != nil {
		return nil, err
	}
	found, err := s.Called(ctx, ref.Name{Root: name.Root}.String())
	for i := range found {
		found[i].Name = name
	}
	return found, err
}

// ofHost is found, which was found by a name less its registry's host, or, where that has
// the name of another host and one that is kept has it of that host, the image of that. A
// host that is the address of a server says nothing of where an image comes from.
func (s Stores) ofHost(ctx context.Context, typed string, found ref.Name) (ref.Name, error) {
	typed, _, _ = strings.Cut(typed, "@")
	if found.Digest != "" { // which says it all
		return found, nil
	}
	l, err := s.Layout(ctx, found)
	if err != nil {
		return found, nil // whoever reads it is told
	}
	of, all := l.OfHost(typed)
	if name, ok := exactly(found, of, all); ok {
		return name, nil
	}
	others, err := s.Called(ctx, ref.TrimHost(typed))
	if err != nil && !errors.Is(err, ipfs.ErrNotFound) {
		return found, err
	}
	for _, m := range slices.Backward(others) {
		other, err := s.Layout(ctx, m.Name)
		if err != nil {
			continue
		}
		of, all := other.OfHost(typed)
		if name, ok := exactly(m.Name, of, all); ok {
			return name, nil
		}
	}
	host, _, _ := strings.Cut(typed, "/")
	if len(all) > 1 && !strings.Contains(host, ":") && host != "localhost" {
		return found, fmt.Errorf("%w: under %s %s is that of %d images, none of which is from %s: name one of %s", ErrAmbiguous, ref.Ciq(found.Root), ref.TrimHost(typed), len(all), host, layout.FullNames(all))
	}
	return found, nil
}

// exactly is name as it means the image of a host; ok is false where there is none, or
// there are several. All are those that have the name under any host, the one that it
// means first.
func exactly(name ref.Name, of, all []registry.Image) (exact ref.Name, ok bool) {
	if len(of) == 0 {
		return name, false
	}
	if d := of[0].Descriptor.Digest; d != all[0].Descriptor.Digest {
		name.Repository, name.Tag, name.Digest = cmp.Or(name.Repository, oci.DefaultRepository), "", d
	}
	return name, true
}
