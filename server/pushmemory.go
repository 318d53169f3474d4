package server

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/registry"
)

// pushedMemory is the share of manifests and indices for requests about local names. One
// request may hold what it was sent while it waits for what that leads to: so that it
// never waits for itself, each is at most a part of the share, and waiting ends.
type pushedMemory struct{ *budget.Budget }

// Reading implements [ipfs.Room].
func (m pushedMemory) Reading(ctx context.Context, n int64) (release func(), err error) {
	return borrowPart(ctx, m.Budget.Reading, n, "too many manifests are being read")
}

// Decoding implements [ipfs.Room].
func (m pushedMemory) Decoding(ctx context.Context, n int64) (release func(), err error) {
	return borrowPart(ctx, m.Budget.Decoding, n, "too many manifests are being decoded")
}

// borrowPart is borrow for at most three eighths of a share.
func borrowPart(ctx context.Context, share *budget.Share, n int64, what string) (release func(), err error) {
	return borrow(ctx, share, min(n, share.Size()/8*3), what)
}

// holdPushed takes memory for what is about to be read, until the request ends.
func (s *Server) holdPushed(ctx context.Context, n int64) error {
	if n <= smallManifest {
		return nil
	}
	return occupy(ctx, s.memory.Sending, n, "too many large manifests are being sent")
}

// readPushed reads a manifest of a local name; memory for it is taken before.
func (s *Server) readPushed(r *request, d digest.Digest) (registry.Manifest, error) {
	n, err := r.local.Size(r.Context(), d)
	if err == nil {
		err = s.holdPushed(r.Context(), n)
	}
	if err != nil {
		return registry.Manifest{}, err
	}
	return r.local.Manifest(r.Context(), d)
}

// referrersPushed lists what refers to a digest in a repository that was pushed to, from
// behind last on. More is the digest behind which there may be more; "" at the end.
func (s *Server) referrersPushed(r *request, d digest.Digest, last string, types []string) (found []ocispec.Descriptor, more digest.Digest, err error) {
	page, err := r.local.ReferrersPage(r.Context(), d, last)
	if err != nil {
		return nil, "", err
	}
	// Its annotations, and a text of them whose buffer grows.
	if err := s.holdPushed(r.Context(), 3*page.Bytes); err != nil {
		return nil, "", err
	}
	found, err = page.Read(r.Context(), types...)
	return found, page.More, err
}
