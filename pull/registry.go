package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/remote"
)

// Registry is a tag in a registry elsewhere. An image goes there with all platforms,
// signatures, SBOMs and whatever else refers to it, under the same digests.
type Registry struct {
	repository *remote.Repository
	tag        string
}

// DialRegistry gives the target that name means, such as registry.example/team/app:1.
// Errors match [ErrTarget] for what is no name, or those of [remote.Open].
func DialRegistry(ctx context.Context, name string, o remote.Options) (*Registry, error) {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return nil, fmt.Errorf("%w: docker://%s: %w", ErrTarget, name, err)
	}
	tagged, ok := named.(reference.NamedTagged)
	if _, digested := named.(reference.Digested); digested || !ok {
		return nil, fmt.Errorf("%w: docker://%s: an image is brought to a tag, its digest is its own", ErrTarget, name)
	}
	r, err := remote.Open(ctx, reference.Domain(named), reference.Path(named), o)
	if err != nil {
		return nil, err
	}
	return &Registry{r, tagged.Tag()}, nil
}

// String names the target.
func (r *Registry) String() string { return "registry at " + r.repository.String() + ":" + r.tag }

// Close implements [Target].
func (r *Registry) Close() error { return nil }

// Choose implements [Target]: all platforms, or one.
func (r *Registry) Choose(w Wanted) (Choice, error) { return w.layout(r) }

// Pull brings the image to the registry: first contents that it lacks, then manifests,
// then what refers to them, and last the tag. The name is the one to pull it by from
// there. Errors are those of package remote.
func (r *Registry) Pull(ctx context.Context, j Job) (name string, err error) {
	if err := j.Image.Several(); err != nil {
		return "", err
	}
	p := &pusher{job: j, to: r.repository, done: map[digest.Digest]bool{}, read: map[digest.Digest][]byte{}}
	top := j.Image.Target
	if entry, ok := j.Image.layout.Entry(top.Digest); ok {
		for _, n := range entry.Names {
			if n.Repository != "" && !slices.Contains(p.from, n.Repository) {
				p.from = append(p.from, n.Repository)
			}
		}
	}
	manifests, err := p.manifests(ctx, top)
	if err == nil {
		err = p.blobs(ctx, manifests)
	}
	if err == nil {
		err = p.put(ctx, manifests)
	}
	if err != nil {
		return "", err
	}
	data := p.read[top.Digest]
	if err := r.repository.PutManifest(ctx, plain(top, data), data, r.tag); err != nil {
		return "", err
	}
	return r.repository.String() + ":" + r.tag, nil
}

// pusher brings one image to a registry.
type pusher struct {
	job  Job
	to   *remote.Repository
	from []string                 // repositories that may have the blobs already
	tags []sending                // what cosign has made, by the tag of each
	done map[digest.Digest]bool   // blobs
	read map[digest.Digest][]byte // manifests
}

// sending is a manifest that is to be sent.
type sending struct {
	ocispec.Descriptor
	content []byte
	tag     string // empty for its digest alone
}

func plain(desc ocispec.Descriptor, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: int64(len(data))}
}

// manifests are those of the image and of what refers to it, each behind what it
// lists, and in front of what refers to it.
func (p *pusher) manifests(ctx context.Context, top ocispec.Descriptor) ([]sending, error) {
	var all []sending
	var limit oci.WalkLimit
	var add func(desc ocispec.Descriptor, depth int) error
	add = func(desc ocispec.Descriptor, depth int) error {
		if p.read[desc.Digest] != nil {
			return nil
		}
		if err := limit.Enter(desc, depth); err != nil {
			return err
		}
		m, err := p.job.Image.layout.Manifest(ctx, desc.Digest)
		if err != nil {
			return err
		}
		p.read[desc.Digest] = m.Content
		children, err := oci.ManifestsOf(m.Descriptor.MediaType, m.Content)
		if err != nil {
			return err
		}
		for _, child := range children {
			err := add(child, depth+1)
			if err != nil && !errors.Is(err, oci.ErrManifestUnknown) { // indices may be sparse
				return err
			}
		}
		all = append(all, sending{m.Descriptor, m.Content, ""})
		return p.referrers(ctx, desc.Digest, func(desc ocispec.Descriptor) error { return add(desc, depth+1) })
	}
	err := add(top, 0)
	return all, err
}

// referrers calls add for what refers to a manifest, by its subject or by cosign's
// tags.
func (p *pusher) referrers(ctx context.Context, d digest.Digest, add func(desc ocispec.Descriptor) error) error {
	l := p.job.Image.layout
	found, err := l.Referrers(ctx, d)
	if err != nil {
		return err
	}
	for _, desc := range p.job.Image.onlySigned(found) {
		if err := add(desc); err != nil {
			return err
		}
	}
	repositories := p.from
	if asked := p.job.Image.Name.Repository; !slices.Contains(repositories, asked) {
		repositories = append([]string{asked}, repositories...)
	}
	for _, repository := range repositories {
		tagged, err := registry.TaggedBy(ctx, l, repository, d)
		if err != nil {
			return err
		}
		for _, t := range tagged {
			if len(p.job.Image.onlySigned([]ocispec.Descriptor{t.Descriptor})) == 0 {
				continue
			}
			if err := add(t.Descriptor); err != nil {
				return err
			}
			p.tags = append(p.tags, sending{t.Descriptor, p.read[t.Digest], t.Tag})
		}
	}
	return nil
}

// blobs brings what manifests need, several at once.
func (p *pusher) blobs(ctx context.Context, manifests []sending) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, m := range manifests {
		if oci.IsIndex(m.MediaType) {
			continue
		}
		_, all, err := oci.PartsOf(m.content)
		if err != nil {
			return fmt.Errorf("%w: manifest %s: %v", oci.ErrManifestInvalid, m.Digest, err)
		}
		for _, desc := range all {
			if p.done[desc.Digest] {
				continue
			}
			p.done[desc.Digest] = true
			g.Go(func() error { return p.blob(gctx, desc) })
		}
	}
	return g.Wait()
}

// blob brings one blob, unless the registry has it.
func (p *pusher) blob(ctx context.Context, desc ocispec.Descriptor) error {
	sent, err := p.to.PutBlob(ctx, desc, func() (io.ReadCloser, error) {
		f, err := p.job.Image.layout.Files().Fetch(ctx, desc)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.TeeReader(f, p.job.Progress), f}, nil
	}, p.from...)
	if errors.Is(err, oci.ErrNotFound) && oci.IsForeign(desc) {
		return nil // it is distributed elsewhere
	}
	if err != nil {
		return err
	}
	if !sent {
		p.job.Progress.add(desc.Size)
	}
	p.job.Progress.content(desc, !sent)
	return nil
}

// put sends manifests in their order, and then gives what cosign has made its tags.
func (p *pusher) put(ctx context.Context, manifests []sending) error {
	for _, m := range append(manifests, p.tags...) {
		if err := p.to.PutManifest(ctx, plain(m.Descriptor, m.content), m.content, m.tag); err != nil {
			return err
		}
		p.job.Progress.add(int64(len(m.content)))
		p.job.Progress.tell(strings.TrimSpace(fmt.Sprintf("%s %s %s", kindOf(m.Descriptor), m.Digest, m.tag)))
	}
	return nil
}
