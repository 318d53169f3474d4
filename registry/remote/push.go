package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// PutBlob brings a blob to the repository, unless it is there: from another of the
// registry's repositories where one of those named has it, else by sending what open
// opens. sent tells whether it was sent. Errors match [ErrUnauthorized] or
// [ErrUnreachable], or are those of open.
func (r *Repository) PutBlob(ctx context.Context, desc ocispec.Descriptor, open func() (io.ReadCloser, error), from ...string) (sent bool, err error) {
	repo := r.at("")
	there, err := repo.Blobs().Exists(ctx, desc)
	if err != nil || there {
		return false, r.failedPut(desc, err)
	}
	get := func() (io.ReadCloser, error) {
		sent = true
		return open()
	}
	for _, other := range from {
		if other == r.path {
			continue
		}
		there, err := r.beside(other).at("").Blobs().Exists(ctx, desc)
		if err != nil || !there { // one that may not be read is no source
			continue
		}
		return sent, r.failedPut(desc, repo.Mount(ctx, desc, other, get))
	}
	content, err := get()
	if err != nil {
		return false, err
	}
	defer content.Close()
	return sent, r.failedPut(desc, repo.Blobs().Push(ctx, desc, content))
}

// beside is another repository of the registry.
func (r *Repository) beside(path string) *Repository {
	return &Repository{host: r.host, path: path, http: r.http}
}

func (r *Repository) failedPut(desc ocispec.Descriptor, err error) error {
	if err == nil {
		return nil
	}
	return r.failed("sending "+desc.Digest.String(), err)
}

// PutManifest brings a manifest or index to the repository, whose parts are there, by
// its digest, and by a tag unless that is empty; then it asks for it. What refers to
// another is found as its referrer afterwards, where the registry has no API for that
// by the tag that stands in for it. Errors match [ErrUnauthorized] or
// [ErrUnreachable], or [oci.ErrCorrupt] where the registry has something else then.
func (r *Repository) PutManifest(ctx context.Context, desc ocispec.Descriptor, content []byte, tag string) error {
	repo := r.at("")
	var err error
	if tag == "" {
		err = repo.Manifests().Push(ctx, desc, bytes.NewReader(content))
	} else {
		err = repo.Manifests().PushReference(ctx, desc, bytes.NewReader(content), tag)
	}
	if err != nil {
		return r.failedPut(desc, err)
	}
	name := ref.Name{Tag: tag}
	if tag == "" {
		name.Digest = desc.Digest
	}
	got, err := r.Resolve(ctx, name)
	if err == nil && got.Digest != desc.Digest {
		err = fmt.Errorf("%w: %s took manifest %s, and gives %s by tag %s: did somebody else push at the same time?", oci.ErrCorrupt, r, desc.Digest, got.Digest, tag)
	}
	return err
}
