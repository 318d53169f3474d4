package pushed

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
	"github.com/image2ipfs/image2ipfs/registry"
)

// Repository is one repository. A digest or blob is found in the repository alone to
// which it was pushed or mounted.
type Repository struct {
	g    *Registry
	name string
}

var (
	_ registry.Reader  = (*Repository)(nil)
	_ registry.Lister  = (*Repository)(nil)
	_ registry.Locator = (*Repository)(nil)
)

// Repository gives the repository of a name, whether or not anything was pushed to it.
func (g *Registry) Repository(name string) *Repository { return &Repository{g, name} }

// Cost is that of a name: nothing is remembered.
func (r *Repository) Cost() int64 { return int64(len(r.name)) + 64 }

// Resolve implements [registry.Reader]: tag and digest of name count, and its root
// and repository are taken as read. A tag means what it was last pushed as.
func (r *Repository) Resolve(ctx context.Context, name ref.Name) (ocispec.Descriptor, error) {
	tag := name.Tag
	if name.Digest != "" && tag == "" {
		m, err := r.Manifest(ctx, name.Digest)
		return m.Descriptor, err
	}
	if tag == "" {
		tag = oci.DefaultTag
	}
	_, v, err := read[tagValue](ctx, r.g.store, tagKey(r.name, tag))
	if err != nil {
		return ocispec.Descriptor{}, r.unknown(ctx, err, fmt.Sprintf("tag %q", tag))
	}
	if name.Digest != "" && name.Digest != v.Digest {
		return ocispec.Descriptor{}, fmt.Errorf("%w: the name says that %s:%s is %s, here it is %s", oci.ErrManifestUnknown, r.name, tag, name.Digest, v.Digest)
	}
	return ocispec.Descriptor{MediaType: v.MediaType, Digest: v.Digest, Size: v.Size}, nil
}

// unknown gives what is not there the error for it: of the manifest, or of the
// repository when nothing was pushed to that.
func (r *Repository) unknown(ctx context.Context, err error, what string) error {
	if !errors.Is(err, oci.ErrNotFound) {
		return err
	}
	if exists, failed := r.exists(ctx); failed != nil {
		return failed
	} else if !exists {
		return fmt.Errorf("%w: nothing was pushed to %q here", oci.ErrNameUnknown, r.name)
	}
	return fmt.Errorf("%w: no %s in %q", oci.ErrManifestUnknown, what, r.name)
}

func (r *Repository) exists(ctx context.Context) (bool, error) {
	for _, kind := range []string{kindManifest, kindTag} {
		found, err := r.g.store.Records(ctx, kind, r.name)
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	return false, nil
}

// Manifest implements [registry.Reader].
func (r *Repository) Manifest(ctx context.Context, d digest.Digest) (registry.Manifest, error) {
	_, v, err := read[manifestValue](ctx, r.g.store, manifestKey(r.name, d))
	if err != nil {
		return registry.Manifest{}, r.unknown(ctx, err, "manifest "+d.String())
	}
	data, err := r.g.content(ctx, d, v.File)
	if err != nil {
		return registry.Manifest{}, err
	}
	return registry.Manifest{Descriptor: ocispec.Descriptor{MediaType: v.MediaType, Digest: d, Size: v.File.Size}, Content: data}, nil
}

// Size is how many bytes a manifest has, as its record says. Errors are those of Manifest.
func (r *Repository) Size(ctx context.Context, d digest.Digest) (int64, error) {
	_, v, err := read[manifestValue](ctx, r.g.store, manifestKey(r.name, d))
	if err != nil {
		return 0, r.unknown(ctx, err, "manifest "+d.String())
	}
	return v.File.Size, nil
}

// content reads a small content and checks it.
func (g *Registry) content(ctx context.Context, d digest.Digest, l link) ([]byte, error) {
	data, err := ipfs.ReadFile(ctx, ipfs.Verified(g.store), l.CID, oci.MaxManifestSize)
	if err == nil && d.Algorithm().FromBytes(data) != d {
		err = fmt.Errorf("%w: %s in the store has another content", oci.ErrCorrupt, d)
	}
	return data, err
}

// Locate implements [registry.Locator].
func (r *Repository) Locate(ctx context.Context, d digest.Digest) (registry.Place, error) {
	l, err := r.g.blob(ctx, r.name, d)
	return registry.Place{CID: l.CID, Path: oci.BlobPath(d)}, err
}

// Blob implements [registry.Reader].
func (r *Repository) Blob(ctx context.Context, d digest.Digest) (registry.Blob, error) {
	l, err := r.g.blob(ctx, r.name, d)
	if err != nil {
		return nil, err
	}
	return ipfs.OpenFile(ctx, ipfs.Verified(r.g.store), l.CID, 0)
}

// Tags implements [registry.Lister]; the name is the repository's own.
func (r *Repository) Tags(ctx context.Context, _ string) ([]string, error) {
	found, err := r.g.store.Records(ctx, kindTag, r.name)
	if err != nil {
		return nil, err
	}
	tags := make([]string, 0, len(found))
	for _, t := range found {
		tags = append(tags, t.Name)
	}
	if len(tags) == 0 {
		if exists, err := r.exists(ctx); err != nil || !exists {
			return nil, cmp.Or(err, fmt.Errorf("%w: nothing was pushed to %q here", oci.ErrNameUnknown, r.name))
		}
	}
	return tags, nil
}

// Images implements [registry.Lister]: one for each digest that has a tag.
func (r *Repository) Images(ctx context.Context) ([]registry.Image, error) {
	found, err := r.g.store.Records(ctx, kindTag, r.name)
	if err != nil {
		return nil, err
	}
	var images []registry.Image
	for _, t := range found {
		v, err := value[tagValue](t)
		if err != nil {
			return nil, err
		}
		name := oci.ImageName{Repository: r.name, Tag: t.Name}
		same := func(i registry.Image) bool { return i.Descriptor.Digest == v.Digest }
		if i := slices.IndexFunc(images, same); i >= 0 {
			images[i].Names = append(images[i].Names, name)
			continue
		}
		images = append(images, registry.Image{Descriptor: ocispec.Descriptor{MediaType: v.MediaType, Digest: v.Digest, Size: v.Size}, Names: []oci.ImageName{name}})
	}
	return images, nil
}

// Root is where a tag's root is, by the name that its image has there. The error
// matches [oci.ErrNotFound] when there is no such tag, or it has none.
func (g *Registry) Root(ctx context.Context, repository, tag string) (ref.Name, error) {
	rec, v, err := read[tagValue](ctx, g.store, tagKey(repository, tag))
	if err == nil && !v.Root {
		err = fmt.Errorf("%w: %s:%s refers to an image, and has no root of its own", oci.ErrNotFound, repository, tag)
	}
	name := ref.Name{Root: rec.CID, Repository: repository, Tag: tag}
	switch {
	case v.Unnamed:
		name.Tag, name.Digest = "", v.Digest
	case v.Named != "":
		name.Repository, name.Tag, _ = ref.CutTag(v.Named)
	}
	return name, err
}

// RecordsOf picks, of all records of a store, those by which a published root is found, is
// one of which a local name is: the tags that mean it, and in their repositories the
// manifests and blobs that it has, and what refers to one of them. Blocks come from g.
// Errors are those of [ipfs.OpenLayout].
func RecordsOf(ctx context.Context, g ipfs.Getter, all []ipfs.Record, root cid.Cid) (some []ipfs.Record, err error) {
	in := map[string]bool{} // repositories
	for _, r := range all {
		if r.Kind == kindTag && r.CID.Equals(root) {
			in[r.Space] = true
			some = append(some, r)
		}
	}
	if len(in) == 0 {
		return nil, nil
	}
	l, err := ipfs.OpenLayout(ctx, g, root)
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	if err := l.Blobs(ctx, func(d digest.Digest, _ cid.Cid) error {
		has[d.String()] = true
		return nil
	}); err != nil {
		return nil, err
	}
	for _, r := range all {
		repository, subject, _ := strings.Cut(r.Space, "@")
		if in[repository] && has[r.Name] && (subject == "" || has[subject]) && slices.Contains([]string{kindBlob, kindManifest, kindReferrer}, r.Kind) {
			some = append(some, r)
		}
	}
	return some, nil
}
