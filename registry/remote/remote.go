// Package remote is a registry elsewhere, by the distribution spec: a Reader of one of
// its repositories, and what it takes to bring an image there. Credentials are those
// that docker and podman have stored.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
)

const (
	maxPages = 10_000    // of a list of tags or referrers that are read
	maxTags  = 1_000_000 // of a repository
)

// Repository is one repository of a registry, with those below it. It is safe for
// concurrent use.
type Repository struct {
	host string
	path string
	http *client
}

var _ registry.Reader = (*Repository)(nil)

// Options say how a registry is spoken to.
type Options struct {
	Credentials Credentials  // of the registry; those of [Stored] when nil
	Warn        func(string) // told what a registry warns of; may be nil
	// Silence is for how long an answer may stand still before it is asked for again, or
	// given up; 0 for a minute.
	Silence time.Duration
}

func (o Options) silence() time.Duration { return cmp.Or(o.Silence, silence) }

// Open gives the repository at path, such as "team/app", of the registry at host,
// such as "registry.example:5000" or "docker.io". It asks a registry on the loopback
// whether it speaks TLS, and nothing of others. Errors match [ErrUnreachable].
func Open(ctx context.Context, host, path string, o Options) (*Repository, error) {
	c, err := newClient(ctx, host, path, o)
	if err != nil {
		return nil, err
	}
	return &Repository{host: host, path: path, http: c}, nil
}

// String names the repository for humans.
func (r *Repository) String() string { return r.host + "/" + r.path }

// at is the repository below this one.
func (r *Repository) at(below string) *remote.Repository {
	path := strings.Trim(r.path+"/"+below, "/")
	return &remote.Repository{
		Client:    r.http,
		Reference: oras.Reference{Registry: r.host, Repository: path},
		PlainHTTP: r.http.plain, HandleWarning: r.http.warn,
		TagListMaxPages: maxPages, ReferrerListMaxPages: maxPages,
		SkipReferrersGC: true, // whoever deletes needs a right that who pushes may not have
	}
}

// Resolve implements [registry.Reader]. What the registry says is believed until its
// manifest is read.
func (r *Repository) Resolve(ctx context.Context, name ref.Name) (ocispec.Descriptor, error) {
	repo := r.at(name.Repository)
	if name.Digest == "" {
		return r.resolve(ctx, repo, cmp.Or(name.Tag, oci.DefaultTag))
	}
	if name.Tag != "" {
		desc, err := r.resolve(ctx, repo, name.Tag)
		if err != nil {
			return desc, err
		}
		if desc.Digest != name.Digest {
			return desc, fmt.Errorf("%w: the name says that %s:%s is %s, but there it is %s", oci.ErrManifestUnknown, repo.Reference, name.Tag, name.Digest, desc.Digest)
		}
	}
	return r.resolve(ctx, repo, name.Digest.String())
}

// resolve asks by HEAD, and where that fails by GET, whose answer says why.
func (r *Repository) resolve(ctx context.Context, repo *remote.Repository, reference string) (ocispec.Descriptor, error) {
	desc, err := repo.Manifests().Resolve(ctx, reference)
	if err == nil {
		return plain(desc), nil
	}
	desc, content, err := repo.Manifests().FetchReference(ctx, reference)
	if err != nil {
		return desc, r.failed("manifest "+reference, err)
	}
	return plain(desc), content.Close()
}

// plain is what a registry tells of a manifest.
func plain(desc ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
}

// Manifest implements [registry.Reader].
func (r *Repository) Manifest(ctx context.Context, d digest.Digest) (registry.Manifest, error) {
	if err := d.Validate(); err != nil {
		return registry.Manifest{}, fmt.Errorf("%w: %q: %v", oci.ErrManifestUnknown, d, err)
	}
	desc, content, err := r.at("").Manifests().FetchReference(ctx, d.String())
	if err != nil && strings.Contains(err.Error(), "digest mismatch") { // there is no value for it
		err = fmt.Errorf("%w: %w", oci.ErrCorrupt, err)
	}
	if err != nil {
		return registry.Manifest{}, r.failed("manifest "+d.String(), err)
	}
	desc = plain(desc)
	if desc.Size > oci.MaxManifestSize {
		return registry.Manifest{}, errors.Join(fmt.Errorf("%w: manifest %s has %d bytes, at most %d are read", oci.ErrManifestUnknown, d, desc.Size, oci.MaxManifestSize), content.Close())
	}
	desc.Digest = d // whatever the answer says
	data, err := io.ReadAll(oci.VerifyReader(content, desc))
	if err = errors.Join(err, content.Close()); err != nil {
		return registry.Manifest{}, fmt.Errorf("%s: manifest %s: %w", r, d, err)
	}
	return registry.Manifest{Descriptor: desc, Content: data}, nil
}

// Blob implements [registry.Reader]. A connection that breaks is made anew where it
// was; what is read is not checked.
func (r *Repository) Blob(ctx context.Context, d digest.Digest) (registry.Blob, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %q: %v", oci.ErrNotFound, d, err)
	}
	b := &blob{ctx: ctx, from: r, digest: d}
	return b, b.open()
}

// Referrers implements [registry.Reader], by the API where the registry has it, else
// by the tag that stands in for it (distribution-spec, "Referrers Tag Schema").
func (r *Repository) Referrers(ctx context.Context, d digest.Digest, artifactTypes ...string) ([]ocispec.Descriptor, error) {
	var all []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	repo := r.at("")
	if r.http.byTag.Load() {
		_ = repo.SetReferrersCapability(false) // of a new one it is not known yet
	}
	err := repo.Referrers(ctx, ocispec.Descriptor{Digest: d}, "", func(page []ocispec.Descriptor) error {
		before := len(seen)
		for _, desc := range page {
			if !seen[desc.Digest] && (len(artifactTypes) == 0 || slices.Contains(artifactTypes, desc.ArtifactType)) {
				all = append(all, desc)
			}
			seen[desc.Digest] = true
		}
		return nextPage(page, before, seen, oci.MaxManifests)
	})
	if errors.Is(err, errdef.ErrNotFound) || errors.Is(err, errRepeats) {
		err = nil
	}
	if err != nil {
		return nil, r.failed("referrers of "+d.String(), err)
	}
	slices.SortFunc(all, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	return all, nil
}

// errRepeats ends a list whose pages bring nothing new, such as one that links to itself.
var errRepeats = errors.New("a page repeats those before")

// nextPage tells whether more of a list is to be asked for, of which a page brought seen
// from before to what it is: errRepeats where that was nothing, or an error that matches
// [oci.ErrLimit].
func nextPage[E any, K comparable](page []E, before int, seen map[K]bool, most int) error {
	switch {
	case len(seen) > most:
		return fmt.Errorf("%w: the list has more than %d entries", oci.ErrLimit, most)
	case len(page) > 0 && len(seen) == before:
		return errRepeats
	}
	return nil
}

// Tags lists the tags of a repository below this one.
func (r *Repository) Tags(ctx context.Context, below string) ([]string, error) {
	seen := map[string]bool{}
	err := r.at(below).Tags(ctx, "", func(page []string) error {
		before := len(seen)
		for _, tag := range page {
			seen[tag] = true
		}
		return nextPage(page, before, seen, maxTags)
	})
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, fmt.Errorf("%w: no tags of %s: %w", oci.ErrNameUnknown, r, err)
	}
	if err != nil && !errors.Is(err, errRepeats) {
		return nil, r.failed("tags", err)
	}
	return slices.Sorted(maps.Keys(seen)), nil
}
