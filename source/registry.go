package source

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/remote"
)

// askParallel is how many manifests a registry is asked for what refers to them at once.
const askParallel = 8

// openRegistry gives an image of a registry, with what refers to it.
func openRegistry(ctx context.Context, s Spec, o Options) (*Source, error) {
	named, err := reference.ParseDockerRef(s.rest)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSpelling, s, err)
	}
	host, path := reference.Domain(named), reference.Path(named)
	repository, err := remote.Open(ctx, host, path, remote.Options{})
	if err != nil {
		return nil, err
	}
	name := ref.Name{Repository: path}
	if tagged, ok := named.(reference.Tagged); ok {
		name.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		name.Digest = digested.Digest()
	}
	if host == "docker.io" {
		name.Repository = ref.TrimLibrary(path)
	}
	return &Source{images: newFetched(s.String(), repository, name, o.Platforms)}, nil
}

// fetched is one image of a registry, with what refers to it, as a [publish.Images].
type fetched struct {
	spelt  string
	from   registry.Reader
	name   ref.Name // that it will have
	wanted []ocispec.Platform
	known  publish.Known // set before anything is read

	mu    sync.Mutex
	read  map[digest.Digest][]byte
	other map[digest.Digest]bool // manifests for platforms that are not wanted
}

func newFetched(spelt string, from registry.Reader, name ref.Name, wanted []ocispec.Platform) *fetched {
	return &fetched{spelt: spelt, from: from, name: name, wanted: wanted, read: map[digest.Digest][]byte{}, other: map[digest.Digest]bool{}}
}

// String names the image as it was asked for.
func (f *fetched) String() string { return f.spelt }

// Index implements publish.Images: the image by its name, and what refers to it or to
// its parts, in the order of their digests, as it would be if it had been pushed here.
func (f *fetched) Index(ctx context.Context, known publish.Known) ([]ocispec.Descriptor, error) {
	f.known = known
	top, err := f.from.Resolve(ctx, ref.Name{Tag: f.name.Tag, Digest: f.name.Digest})
	if err == nil && len(f.wanted) > 0 {
		top, err = f.choose(ctx, top)
	}
	if err != nil {
		return nil, err
	}
	data, err := f.Manifest(ctx, top)
	if err != nil {
		return nil, err
	}
	name := f.name.Repository
	switch {
	case name == "":
	case f.name.Tag == "":
		name += "@" + top.Digest.String()
	default:
		name += ":" + f.name.Tag
	}
	referrers, err := f.referrers(ctx, top)
	if err != nil {
		return nil, err
	}
	return append([]ocispec.Descriptor{oci.Entry(top, data, name)}, referrers...), nil
}

// Manifest implements publish.Images.
func (f *fetched) Manifest(ctx context.Context, desc ocispec.Descriptor) (data []byte, err error) {
	f.mu.Lock()
	data, ok := f.read[desc.Digest]
	left := f.other[desc.Digest]
	f.mu.Unlock()
	if ok {
		return data, nil
	}
	if left {
		return nil, fmt.Errorf("%w: not asked for", oci.ErrNotFound)
	}
	if data, ok = f.known(ctx, desc); ok {
		return f.keep(desc, data), nil
	}
	if desc.MediaType == "" || oci.IsAnyManifest(desc.MediaType) {
		var m registry.Manifest
		m, err = f.from.Manifest(ctx, desc.Digest)
		data = m.Content
	} else {
		data, err = oci.ReadAll(ctx, blobs{f.from}, desc)
	}
	if err != nil {
		return nil, err
	}
	return f.keep(desc, data), nil
}

func (f *fetched) keep(desc ocispec.Descriptor, data []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read[desc.Digest] = data
	return data
}

// Blob implements publish.Images.
func (f *fetched) Blob(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return f.from.Blob(ctx, desc.Digest)
}

// blobs are those of a reader as an [oci.Fetcher].
type blobs struct{ from registry.Reader }

// Fetch implements oci.Fetcher.
func (b blobs) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return b.from.Blob(ctx, desc.Digest)
}

// children are the manifests that an index lists; none for a manifest.
func (f *fetched) children(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if !oci.IsIndex(desc.MediaType) {
		return nil, nil
	}
	data, err := f.Manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	all, err := oci.ManifestsOf(desc.MediaType, data)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", desc.Digest, err)
	}
	return all, nil
}

// choose takes the wanted platforms of an index: the manifest of one, or the index of
// several, of which the others are left out. The error matches [oci.ErrNotFound].
func (f *fetched) choose(ctx context.Context, top ocispec.Descriptor) (ocispec.Descriptor, error) {
	all, err := f.children(ctx, top)
	if err != nil {
		return top, err
	}
	if !oci.IsIndex(top.MediaType) {
		return top, f.isWanted(ctx, top)
	}
	taken := map[digest.Digest]bool{}
	var one ocispec.Descriptor
	for _, w := range f.wanted {
		match := platforms.Only(w)
		best := slices.IndexFunc(all, func(d ocispec.Descriptor) bool { return d.Platform != nil && match.Match(*d.Platform) })
		if best < 0 {
			return top, fmt.Errorf("%w: %s has no image for %s, but for %s", oci.ErrNotFound, f, platforms.Format(w), quoted(platformsOf(all)))
		}
		for i, d := range all {
			if d.Platform != nil && match.Match(*d.Platform) && match.Less(*d.Platform, *all[best].Platform) {
				best = i
			}
		}
		one = all[best]
		taken[one.Digest] = true
	}
	if len(taken) == 1 {
		return one, nil
	}
	for _, d := range all {
		about := digest.Digest(d.Annotations["vnd.docker.reference.digest"]) // BuildKit's attestations say whose they are
		f.other[d.Digest] = !taken[d.Digest] && !taken[about]
	}
	return top, nil
}

// isWanted refuses an image without an index that is for another platform.
func (f *fetched) isWanted(ctx context.Context, desc ocispec.Descriptor) error {
	data, err := f.Manifest(ctx, desc)
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if json.Unmarshal(data, &m) != nil || !oci.IsImageConfig(m.Config.MediaType) {
		return nil // an artifact is for every platform
	}
	config, err := f.Manifest(ctx, m.Config)
	if err != nil {
		return err
	}
	text := oci.ConfigPlatform(config)
	has, err := platforms.Parse(text)
	if text == "" || err != nil || slices.ContainsFunc(f.wanted, func(w ocispec.Platform) bool { return platforms.Only(w).Match(has) }) {
		return nil
	}
	return fmt.Errorf("%w: %s is for %s alone", oci.ErrNotFound, f, oci.Quoted(text))
}

func platformsOf(all []ocispec.Descriptor) (texts []string) {
	for _, d := range all {
		if d.Platform != nil && d.Platform.OS != "unknown" {
			texts = append(texts, platforms.Format(*d.Platform))
		}
	}
	return texts
}

// referrers are the entries of what refers to an image, its parts, and what refers
// to them in turn.
func (f *fetched) referrers(ctx context.Context, top ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	seen := map[digest.Digest]bool{top.Digest: true}
	var entries []ocispec.Descriptor
	for level := []ocispec.Descriptor{top}; len(level) > 0; {
		found := make([]relatives, len(level))
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(askParallel)
		for i, desc := range level {
			g.Go(func() (err error) {
				found[i], err = f.relatives(gctx, desc)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		level = nil
		for _, r := range found {
			for _, d := range append(r.children, r.referrers...) {
				if seen[d.Digest] {
					continue
				}
				seen[d.Digest] = true
				level = append(level, ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
				if slices.ContainsFunc(r.referrers, func(e ocispec.Descriptor) bool { return e.Digest == d.Digest }) {
					entries = append(entries, d)
				}
			}
		}
		if len(seen) > oci.MaxManifests {
			return nil, fmt.Errorf("%w: %s: more than %d manifests", oci.ErrLimit, f, oci.MaxManifests)
		}
	}
	slices.SortFunc(entries, func(a, b ocispec.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName]))
	})
	return entries, nil
}

// relatives are what a manifest lists, and the entries of what refers to it.
type relatives struct{ children, referrers []ocispec.Descriptor }

// relatives asks for those of one manifest.
func (f *fetched) relatives(ctx context.Context, desc ocispec.Descriptor) (r relatives, err error) {
	r.children, err = f.children(ctx, desc)
	if err == nil {
		_, err = f.Manifest(ctx, desc)
	}
	if errors.Is(err, oci.ErrNotFound) { // indices may be sparse
		return relatives{}, nil
	}
	if err != nil {
		return r, err
	}
	names := map[digest.Digest]string{}
	found, err := f.from.Referrers(ctx, desc.Digest)
	if err != nil {
		return r, err
	}
	tagged, err := registry.TaggedBy(ctx, f.from, "", desc.Digest)
	if err != nil {
		return r, err
	}
	for _, t := range tagged {
		found, names[t.Digest] = append(found, t.Descriptor), f.name.Repository+":"+t.Tag
	}
	for _, d := range found {
		data, err := f.Manifest(ctx, d)
		if errors.Is(err, oci.ErrNotFound) { // it is listed, and gone
			continue
		}
		if err != nil {
			return r, err
		}
		plain := ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: int64(len(data))}
		r.referrers = append(r.referrers, oci.Entry(plain, data, names[d.Digest]))
	}
	return r, nil
}
