package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Match is a root that an argument means, by which name, and what is known of it:
// of one that no store keeps, nothing.
type Match struct {
	Name ref.Name
	Kept
}

// ErrAmbiguous is matched by errors about an image name that several roots have.
var ErrAmbiguous = errors.New("published more than once")

// AmbiguousError lists the roots that have a name. It matches [ErrAmbiguous].
type AmbiguousError struct {
	Arg   string
	Found []Match // oldest first
}

func (e *AmbiguousError) Unwrap() error { return ErrAmbiguous }

func (e *AmbiguousError) Error() string {
	var text strings.Builder
	for _, m := range e.Found {
		fmt.Fprintf(&text, "\n  %s", ref.Ciq(m.Name.Root))
	}
	return fmt.Sprintf("%v: %q was published %d times; name one of%s", ErrAmbiguous, e.Arg, len(e.Found), &text)
}

// Typed looks for what people type: for all of it, since a local name may begin like a
// registry's host ("example.com/app:1"), and only where that is nothing for what follows
// a host ("quay.io/app:1", which publish calls app:1), and for what Docker takes for the
// same ("app:1" for "library/app:1"). It is for what reads alone. The
// error of look that goes on matches [ipfs.ErrNotFound].
func Typed[T any](arg string, look func(name string) (T, error)) (T, error) {
	found, err := look(arg)
	for _, other := range spellings(arg) {
		if !errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, oci.ErrManifestUnknown) {
			break
		}
		if its, failed := look(other); !errors.Is(failed, ipfs.ErrNotFound) || errors.Is(failed, oci.ErrManifestUnknown) {
			return its, failed
		}
	}
	return found, err
}

// spellings are other names for what people type.
func spellings(arg string) (others []string) {
	short := ref.TrimHost(arg)
	if short != arg {
		others = append(others, short)
	}
	if without := ref.TrimLibrary(short); without != short {
		others = append(others, without)
	} else if !strings.Contains(short, "/") {
		others = append(others, "library/"+short)
	}
	return others
}

// listed looks for a name as [Stores.Roots] and [Stores.History] list it, for what takes
// away: what has the name without its host may be another image, and the error tells
// of that.
func listed[T any](arg string, look func(name string) (T, error)) (T, error) {
	found, err := look(arg)
	if short := ref.TrimHost(arg); short != arg && errors.Is(err, ipfs.ErrNotFound) {
		if _, failed := look(short); failed == nil {
			err = fmt.Errorf("%w; %s is here, which may be another image: to take that away, name it so", err, short)
		}
	}
	return found, err
}

// Find gives the name that an argument means: any spelling of a pull name, or an
// image name ("app:1", "app"), which means what that is as a local name, whose tag is
// latest where none is given, as in [ParseName], else the newest root that has it. With a
// digest behind it, it is that manifest, which must be what the tag is; without a tag, of
// the newest root of the name that has it. A host in front counts as in [Typed], and where
// several images have what follows it, it is the one of that host. The error matches
// [ipfs.ErrNotFound] when there is none, [oci.ErrManifestUnknown] where tag and digest
// contradict each other, and [ErrAmbiguous] where several have the name under other hosts.
func (s Stores) Find(ctx context.Context, arg string) (ref.Name, error) {
	return Typed(arg, func(name string) (ref.Name, error) {
		found, err := s.find(ctx, name)
		if err == nil && name != arg {
			return s.ofHost(ctx, arg, found)
		}
		return found, err
	})
}

// FindListed is [Stores.Find] for what takes away: it takes names as they are listed.
func (s Stores) FindListed(ctx context.Context, arg string) (ref.Name, error) {
	return listed(arg, func(name string) (ref.Name, error) { return s.find(ctx, name) })
}

func (s Stores) find(ctx context.Context, arg string) (ref.Name, error) {
	if name, err := ref.ParseName(arg); err == nil { // no store need be asked
		return name, nil
	}
	if image, d, err := ref.CutDigest(arg); err != nil || d != "" {
		if err != nil {
			return ref.Name{}, err
		}
		return s.findDigest(ctx, image, d)
	}
	if name, err := s.pushed(ctx, arg); !errors.Is(err, ipfs.ErrNotFound) {
		return name, err
	}
	found, err := s.Called(ctx, arg)
	if err != nil {
		return ref.Name{}, err
	}
	return found[len(found)-1].Name, nil
}

// Meanings gives what each of some names means by itself, as [Stores.Find] has it for all
// of it; names of nothing are left out.
func (s Stores) Meanings(ctx context.Context, names ...string) (map[string]ref.Name, error) {
	means := map[string]ref.Name{}
	if len(names) == 0 {
		return means, nil
	}
	kept, err := s.byAge(ctx)
	if IsFatal(err) {
		return nil, err
	}
	for _, n := range names {
		name, err := s.pushed(ctx, n)
		if err == nil {
			means[n] = name
			continue
		}
		if !errors.Is(err, ipfs.ErrNotFound) {
			return nil, err
		}
		for _, k := range slices.Backward(kept) {
			if name, ok := meant(k, n); ok {
				means[n] = name
				break
			}
		}
	}
	return means, nil
}

// pushed finds what a local name is. The error matches [ipfs.ErrNotFound] when there is
// none.
func (s Stores) pushed(ctx context.Context, image string) (ref.Name, error) {
	repository, tag, _ := ref.CutTag(image)
	for _, names := range s.registries() {
		if name, err := names.Root(ctx, repository, cmp.Or(tag, oci.DefaultTag)); !errors.Is(err, ipfs.ErrNotFound) {
			return name, err
		}
	}
	return ref.Name{}, fmt.Errorf("%w: %q is no local name here", ipfs.ErrNotFound, image)
}

// One is what was found of an argument that must mean one root, with the error of
// looking for it: an image name that several have is an [AmbiguousError].
func One(arg string, found []Match, err error) (Match, error) {
	if err != nil {
		return Match{}, err
	}
	if len(found) > 1 {
		return Match{}, &AmbiguousError{Arg: arg, Found: found}
	}
	return found[0], nil
}

// FindAll gives all roots that an argument can mean, the newest last, each once: as
// of the later date where two stores keep it. A host in front counts as in [Typed]. The
// error matches [ipfs.ErrNotFound] when no root has that name; a CID always means its own.
func (s Stores) FindAll(ctx context.Context, arg string) ([]Match, error) {
	return Typed(arg, func(name string) ([]Match, error) {
		found, err := s.calledOrDigest(ctx, name)
		for i := range found {
			if err == nil && name != arg {
				found[i].Name, err = s.ofHost(ctx, arg, found[i].Name)
			}
		}
		return found, err
	})
}

// FindAllListed is [Stores.FindAll] for what takes away: it takes names as they are
// listed.
func (s Stores) FindAllListed(ctx context.Context, arg string) ([]Match, error) {
	return listed(arg, func(name string) ([]Match, error) { return s.Called(ctx, name) })
}

// Called is [Stores.FindAll] for a name as it stands.
func (s Stores) Called(ctx context.Context, arg string) ([]Match, error) {
	kept, damaged := s.byAge(ctx)
	if name, err := ref.ParseName(arg); err == nil { // whether or not a store answers
		m := Match{Name: name}
		for _, k := range kept {
			if k.CID.Equals(name.Root) {
				m.Kept = k
			}
		}
		return []Match{m}, nil
	}
	if IsFatal(damaged) {
		return nil, damaged
	}
	var found []Match
	for _, k := range kept {
		if name, ok := meant(k, arg); ok {
			found = append(found, Match{name, k})
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case damaged != nil:
		return nil, damaged // the damaged record may be the one
	}
	hint := ""
	if image, d, err := ref.CutDigest(arg); err == nil && d != "" {
		hint = "; names are listed without a digest: " + image
	}
	return nil, fmt.Errorf("%w: %q is neither a published image (image2ipfs ls) nor a name with a CID in it%s", ipfs.ErrNotFound, arg, hint)
}

// IsKept refuses what no store keeps, with [NotPublished]; a damaged record may keep it,
// and so may one of the same bytes by another codec.
func (s Stores) IsKept(ctx context.Context, m Match) error {
	if m.Store != nil {
		return nil
	}
	kept, damaged := s.Roots(ctx)
	if damaged != nil || slices.ContainsFunc(kept, func(k Kept) bool { return string(k.CID.Hash()) == string(m.Name.Root.Hash()) }) {
		return nil
	}
	return NotPublished(m.Name.Root)
}

// meant gives the name by which a root has the wanted one.
func meant(k Kept, wanted string) (ref.Name, bool) {
	for _, n := range k.Names {
		if repository, tag, _ := ref.CutTag(n); n == wanted || repository == wanted {
			return ref.Name{Root: k.CID, Repository: repository, Tag: tag}, true
		}
	}
	return ref.Name{}, false
}

// byAge is [Stores.Roots] with the newest last, each root once with all names that
// any store has for it.
func (s Stores) byAge(ctx context.Context) ([]Kept, error) {
	roots, err := s.Roots(ctx)
	slices.SortStableFunc(roots, func(a, b Kept) int { return a.Published.Compare(b.Published) })
	var kept []Kept
	for i, r := range roots {
		same := func(other Kept) bool { return other.CID.Equals(r.CID) }
		if slices.ContainsFunc(roots[i+1:], same) {
			continue
		}
		r.Names = slices.Clone(r.Names)
		for _, earlier := range slices.DeleteFunc(slices.Clone(roots[:i]), func(k Kept) bool { return !same(k) }) {
			r.Pushed, r.Pinned = r.Pushed && earlier.Pushed, r.Pinned || earlier.Pinned
			for _, n := range earlier.Names {
				if !slices.Contains(r.Names, n) {
					r.Names = append(r.Names, n)
				}
			}
		}
		kept = append(kept, r)
	}
	return kept, err
}
