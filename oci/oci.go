// Package oci is the image model: descriptors, names and reachability in OCI
// image layouts (image-spec v1.1), and content that is checked while it is read.
package oci

import (
	"context"
	_ "crypto/sha512" // digests may be sha512
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxManifestSize is the largest manifest, index or index.json that is read, in
// bytes: the limit that the distribution spec asks registries to support.
const MaxManifestSize = 4 << 20

// Docker's media types of the objects that OCI has too (image manifest v2,
// schema 2).
const (
	MediaTypeDockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerConfig       = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerSchema1      = "application/vnd.docker.distribution.manifest.v1+json"
	MediaTypeDockerSigned1      = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

var (
	// ErrCorrupt is matched by errors about bytes that are not what their digest,
	// CID or descriptor says, or that do not make sense.
	ErrCorrupt = errors.New("integrity check failed")
	// ErrNotFound is matched by errors about what is not there: a name, a
	// content, a block, a root.
	ErrNotFound = errors.New("not found")
	// ErrLimit is matched by errors about what is larger, deeper or more than
	// anybody reads; they match [ErrCorrupt], too, and name the limit.
	ErrLimit error = limitError{}
)

// limitError matches ErrCorrupt and does not say so: no check of integrity has
// failed.
type limitError struct{}

func (limitError) Error() string        { return "over the limit" }
func (limitError) Is(target error) bool { return target == ErrCorrupt }

// Fetcher opens the content of a descriptor. Archives, stores and resolvers
// share this shape with oras and containerd.
type Fetcher interface {
	Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// IsIndex tells whether a media type is that of an index or manifest list.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == MediaTypeDockerManifestList
}

// IsManifest tells whether a media type is that of an image manifest.
func IsManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == MediaTypeDockerManifest
}

// Media types of the artifact manifests that were before OCI 1.1 had artifactType.
const (
	mediaTypeArtifact     = "application/vnd.oci.artifact.manifest.v1+json"
	mediaTypeORASArtifact = "application/vnd.cncf.oras.artifact.manifest.v1+json"
)

// IsAnyManifest tells whether a media type is that of something a registry
// answers by /manifests/: an index, a manifest of an image or an artifact, or
// schema 1.
func IsAnyManifest(mediaType string) bool {
	switch mediaType {
	case MediaTypeDockerSchema1, MediaTypeDockerSigned1, mediaTypeArtifact, mediaTypeORASArtifact:
		return true
	}
	return IsIndex(mediaType) || IsManifest(mediaType)
}

// LooksLikeManifest tells whether somebody could take a content for a manifest or index:
// it says so, or has a field that only they have. What is no JSON object is none.
func LooksLikeManifest(content []byte) bool {
	var m struct {
		MediaType string          `json:"mediaType"`
		Layers    json.RawMessage `json:"layers"`
	}
	if json.Unmarshal(content, &m) != nil {
		var field map[string]json.RawMessage
		return json.Unmarshal(content, &field) == nil // with a field of another type
	}
	return IsAnyManifest(m.MediaType) || m.Layers != nil || LooksLikeIndex(content)
}

// LooksLikeIndex tells whether a content has a field of what is not an image's manifest:
// an index, a manifest of schema 1, or one of an artifact.
func LooksLikeIndex(content []byte) bool {
	var m struct {
		Manifests json.RawMessage `json:"manifests"`
		FSLayers  json.RawMessage `json:"fsLayers"`
		Blobs     json.RawMessage `json:"blobs"`
	}
	return json.Unmarshal(content, &m) == nil && (m.Manifests != nil || m.FSLayers != nil || m.Blobs != nil)
}

// ReadAll reads the whole content of a descriptor, which may have at most
// [MaxManifestSize] bytes, and checks it. Errors match [ErrCorrupt] or those
// of the fetcher.
func ReadAll(ctx context.Context, f Fetcher, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size < 0 || desc.Size > MaxManifestSize {
		return nil, fmt.Errorf("%w: %s has size %d, at most %d bytes are read", ErrCorrupt, desc.Digest, desc.Size, MaxManifestSize)
	}
	r, err := f.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(VerifyReader(r, desc))
	return data, errors.Join(err, r.Close())
}

// VerifyReader checks that what r yields has the size and digest of desc: a
// difference is an error that matches [ErrCorrupt], in place of io.EOF or as
// soon as there are too many bytes. Closing it closes r.
func VerifyReader(r io.ReadCloser, desc ocispec.Descriptor) io.ReadCloser {
	v := &verifyReader{r: r, desc: desc}
	if err := desc.Digest.Validate(); err != nil {
		v.err = fmt.Errorf("%w: digest %q: %v", ErrCorrupt, desc.Digest, err)
	} else {
		v.verifier = desc.Digest.Verifier()
	}
	return v
}

type verifyReader struct {
	r        io.ReadCloser
	desc     ocispec.Descriptor
	verifier digest.Verifier
	n        int64
	err      error
}

func (v *verifyReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.verifier.Write(p[:n]) // a hash never fails
	v.n += int64(n)
	switch {
	case v.n > v.desc.Size:
		err = fmt.Errorf("%w: %s has more than the %d bytes it should have", ErrCorrupt, v.desc.Digest, v.desc.Size)
		n = 0
	case err == io.EOF && v.n < v.desc.Size:
		err = fmt.Errorf("%w: %s ends after %d of %d bytes", ErrCorrupt, v.desc.Digest, v.n, v.desc.Size)
	case err == io.EOF && !v.verifier.Verified():
		err = fmt.Errorf("%w: bytes of %s have another digest", ErrCorrupt, v.desc.Digest)
	}
	v.err = err
	return n, err
}

func (v *verifyReader) Close() error { return v.r.Close() }
