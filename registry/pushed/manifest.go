package pushed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// ErrLacking is matched by errors about a manifest that needs what its repository
// does not have.
var ErrLacking = fmt.Errorf("manifest needs what was not pushed before it: %w", oci.ErrNotFound)

// Manifest is one that is pushed.
type Manifest struct {
	Descriptor ocispec.Descriptor // media type, digest and size of Content
	Content    []byte
	Tags       []string // none when it is pushed by digest alone
}

// Result is what became of a pushed manifest.
type Result struct {
	Subject digest.Digest // that it refers to by its subject field; "" for none
	Roots   []Root        // of its tags, and of those to whose images it refers
	Size    int64         // bytes of the manifest and of all that it reaches, each once
	// NewBytes were stored for it: its own, and those of blobs that came by this
	// process and that no manifest had needed.
	NewBytes int64
	// Unshared are the blobs of which nine tenths and more were new although the tag
	// had a root before, the largest first; small ones are left out.
	Unshared []Stored
	Fallen   []cid.Cid // that the history of a tag no longer has, for [Registry.Retire]
}

// Root is what a tag became.
type Root struct {
	Tag    string
	CID    cid.Cid
	Digest digest.Digest // of the image
	Size   int64         // bytes of all blobs
	Remade bool          // the tag was not pushed: something refers to its image now
	Was    []cid.Cid     // what it is in place of, and before that had the same image; the latest first
}

// PutManifest takes a manifest (distribution-spec, "Pushing Manifests"): by digest it
// stays in its repository with all that it reaches, and by tag it becomes a published
// root. What refers to an image that has a tag gives that a new root. When it returns
// all of it is safe on disk. Errors match [oci.ErrManifestInvalid], or [ErrLacking].
func (g *Registry) PutManifest(ctx context.Context, repository string, m Manifest) (Result, error) {
	release, err := ipfs.HoldDecoding(ctx, m.Content) // as long as what it says is held
	if err != nil {
		return Result{}, refused(fmt.Errorf("%s: %w", m.Descriptor.Digest, err))
	}
	defer release()
	subject, err := check(m)
	if err != nil {
		return Result{}, err
	}
	result, err := g.change(ctx, repository, func(w *weaver) ([]ipfs.Key, error) { return nil, refused(w.put(m, subject)) })
	result.Subject = subject
	return result, err
}

// check refuses what is no manifest, or not of the type that its sender says.
func check(m Manifest) (subject digest.Digest, err error) {
	said, is := m.Descriptor.MediaType, oci.SniffMediaType(m.Content)
	switch {
	case !json.Valid(m.Content):
		return "", fmt.Errorf("%w: %s is not JSON", oci.ErrManifestInvalid, m.Descriptor.Digest)
	case said == oci.MediaTypeDockerSchema1 || said == oci.MediaTypeDockerSigned1 || !oci.IsAnyManifest(said):
		return "", fmt.Errorf("%w: %s is of type %q: expected an OCI or Docker schema 2 manifest or index", oci.ErrManifestInvalid, m.Descriptor.Digest, said)
	case !oci.IsAnyManifest(is) || oci.IsIndex(is) != oci.IsIndex(said):
		return "", fmt.Errorf("%w: %s is sent as %q, its content is that of %q", oci.ErrManifestInvalid, m.Descriptor.Digest, said, is)
	}
	var own struct {
		MediaType string `json:"mediaType"`
	}
	if err := jsontext.Unmarshal(m.Content, &own); err != nil {
		return "", fmt.Errorf("%w: %s: %w", oci.ErrManifestInvalid, m.Descriptor.Digest, err)
	}
	if own.MediaType != "" && own.MediaType != said {
		return "", fmt.Errorf("%w: %s is sent as %q, and says of itself that it is %q", oci.ErrManifestInvalid, m.Descriptor.Digest, said, own.MediaType)
	}
	if _, err := oci.ManifestType(said, m.Content); err != nil {
		return "", fmt.Errorf("%w: %s: %v", oci.ErrManifestInvalid, m.Descriptor.Digest, err)
	}
	subject, _, _ = oci.Referrer(m.Descriptor, m.Content)
	return subject, nil
}

func (w *weaver) put(m Manifest, subject digest.Digest) error {
	d := m.Descriptor.Digest
	file, err := ipfs.AddFile(w.ctx, w.tx, bytes.NewReader(m.Content))
	if err != nil {
		return err
	}
	w.found[d] = found{link: link(file), mediaType: m.Descriptor.MediaType, data: m.Content}
	w.pushed, w.subject = d, subject
	for _, tag := range m.Tags {
		had, err := w.had(tag)
		if err != nil {
			return err
		}
		w.moved = w.moved || had
	}
	hold, err := w.keep(m.Descriptor, subject)
	if err != nil {
		return err
	}
	return w.retag(m, subject, hold)
}

// refused gives what keeps a manifest from being taken the error for it.
func refused(err error) error {
	switch {
	case errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, oci.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrLacking, err)
	case errors.Is(err, oci.ErrCorrupt):
		return fmt.Errorf("%w: %w", oci.ErrManifestInvalid, err)
	}
	return err
}
