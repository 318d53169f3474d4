// Package registry says what a registry of images is to the rest of the program:
// its interfaces, and what can be asked of each. registry/layout is the one of a published
// root and the only place that knows what a name means; registry/legacy is the
// one of the trees that image2ipfs 0.0.1 to 0.1.0 left. All of them pass the
// suite registry/registrytest.
//
// Errors match those of package oci: [oci.ErrNameUnknown] and
// [oci.ErrManifestUnknown], which match [oci.ErrNotFound]; [oci.ErrManifestInvalid]
// and [oci.ErrLimit], which match [oci.ErrCorrupt]. What cannot be had at the
// moment matches [ipfs.ErrUnavailable].
package registry

import (
	"context"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Reader answers what names mean, and reads manifests and blobs by digest. It is
// safe for concurrent use.
type Reader interface {
	// Resolve gives the media type, digest and size in bytes of the manifest or
	// index that repository, tag and digest of a name mean; its root and host are
	// taken as read. Errors match [oci.ErrNameUnknown] or
	// [oci.ErrManifestUnknown] and list what there is, or [oci.ErrManifestInvalid].
	Resolve(ctx context.Context, name ref.Name) (ocispec.Descriptor, error)
	// Manifest reads a manifest or index, checked against its digest. Errors
	// match [oci.ErrManifestUnknown], also for a blob that is no manifest or has more
	// than [oci.MaxManifestSize] bytes, or [oci.ErrManifestInvalid].
	Manifest(ctx context.Context, d digest.Digest) (Manifest, error)
	// Blob opens a content of any kind. The error matches [oci.ErrNotFound] when
	// there is none. What is read is checked against CIDs, not against d.
	Blob(ctx context.Context, d digest.Digest) (Blob, error)
	// Referrers lists the manifests that have d as their subject, which need not
	// be there itself, in the order of their digests (distribution-spec, "Listing
	// Referrers"); those of any of these artifact types, or all of them.
	Referrers(ctx context.Context, d digest.Digest, artifactTypes ...string) ([]ocispec.Descriptor, error)
}

// Lister tells what there is.
type Lister interface {
	// Images lists the images in the order in which they were published.
	Images(ctx context.Context) ([]Image, error)
	// Tags lists the tags of a repository in lexical order (distribution-spec,
	// "Listing Tags"). The error matches [oci.ErrNameUnknown].
	Tags(ctx context.Context, repository string) ([]string, error)
}

// Locator is a [Reader] whose blobs lie on IPFS as files.
type Locator interface {
	// Locate finds a blob's file without reading it. The error matches
	// [oci.ErrNotFound] when there is none.
	Locate(ctx context.Context, d digest.Digest) (Place, error)
}

// Manifest is a manifest or index.
type Manifest struct {
	Descriptor ocispec.Descriptor // media type, digest and size; nothing else
	Content    []byte             // shared: not to be changed
}

// Blob is an open content.
type Blob interface {
	io.ReadSeekCloser
	Size() int64 // in bytes
}

// Image is one image: what a published root says of one digest.
type Image struct {
	Descriptor ocispec.Descriptor // as it comes first, with platform and annotations
	Names      []oci.ImageName    // by which it is found, each once; may be empty
}

// Place is where on IPFS the bytes of a blob lie.
type Place struct {
	CID  cid.Cid // of the file
	Path string  // of the file, below the root
	// Inflate tells that the file is gzip and the blob what it inflates to.
	Inflate bool
	Size    int64 // of the blob in bytes; known for those to inflate only
}
