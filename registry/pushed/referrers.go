package pushed

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// ReferrersPage is a part of what refers to a digest, in the order of their digests,
// before it is read.
type ReferrersPage struct {
	Bytes int64         // of the manifests of the page
	More  digest.Digest // the last of the page when there are others behind it; "" at the end

	of      *Repository
	subject digest.Digest
	digests []digest.Digest
}

// ReferrersPage finds what refers to d behind the digest last, "" for the first: as much
// as has [oci.MaxManifestSize] bytes together, and at least one. Nothing of it is read but
// records.
func (r *Repository) ReferrersPage(ctx context.Context, d digest.Digest, last string) (p ReferrersPage, err error) {
	p.of, p.subject = r, d
	list, err := r.g.store.Records(ctx, kindReferrer, referrerSpace(r.name, d))
	if err != nil {
		return p, err
	}
	slices.SortFunc(list, func(a, b ipfs.Record) int { return strings.Compare(a.Name, b.Name) })
	for _, entry := range list {
		if entry.Name <= last {
			continue
		}
		of := digest.Digest(entry.Name)
		n, err := r.Size(ctx, of)
		if err != nil {
			return p, fmt.Errorf("listing what refers to %s: %w", d, err)
		}
		if count := len(p.digests); count > 0 && p.Bytes+n > oci.MaxManifestSize {
			p.More = p.digests[count-1]
			break
		}
		p.digests, p.Bytes = append(p.digests, of), p.Bytes+n
	}
	return p, nil
}

// Read gives the descriptors of the page, never nil, or of these types of artifacts.
func (p ReferrersPage) Read(ctx context.Context, artifactTypes ...string) ([]ocispec.Descriptor, error) {
	found := []ocispec.Descriptor{}
	for _, d := range p.digests {
		desc, ok, err := p.of.referrer(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("listing what refers to %s: %w", p.subject, err)
		}
		if ok && (len(artifactTypes) == 0 || slices.Contains(artifactTypes, desc.ArtifactType)) {
			found = append(found, desc)
		}
	}
	return found, nil
}

// referrer is what lists of referrers have of a manifest; ok is false when it refers to
// nothing.
func (r *Repository) referrer(ctx context.Context, d digest.Digest) (desc ocispec.Descriptor, ok bool, err error) {
	m, err := r.Manifest(ctx, d)
	if err != nil {
		return desc, false, err
	}
	release, err := ipfs.HoldDecoding(ctx, m.Content)
	if err != nil {
		return desc, false, err
	}
	defer release()
	_, desc, ok = oci.Referrer(m.Descriptor, m.Content)
	return desc, ok, nil
}

// Referrers implements [registry.Reader].
func (r *Repository) Referrers(ctx context.Context, d digest.Digest, artifactTypes ...string) ([]ocispec.Descriptor, error) {
	found := []ocispec.Descriptor{}
	for last := ""; ; {
		page, err := r.ReferrersPage(ctx, d, last)
		if err != nil {
			return nil, err
		}
		more, err := page.Read(ctx, artifactTypes...)
		if err != nil {
			return nil, err
		}
		if found = append(found, more...); page.More == "" {
			return found, nil
		}
		last = page.More.String()
	}
}
