package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/ipfs/go-cid"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/internal/transport"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// BlobSource gives whole blobs of published layouts. It need not be trusted,
// and it is not: it is asked for nothing but digests that the layout's own
// directory lists, as checked blocks tell, and what it gives is kept back until
// size and digest are right. So a Resolver with no source of blocks resolves
// nothing: that a root leads to a digest only blocks can prove.
type BlobSource interface {
	// Open opens the content of desc in the layout under root from its start.
	// Errors match [ipfs.ErrNotFound] or [ipfs.ErrUnavailable] and name the
	// source. Content that stands still is given up by ending ctx.
	Open(ctx context.Context, root cid.Cid, desc ocispec.Descriptor) (io.ReadCloser, error)
	// String names the source for humans.
	String() string
}

// Registry is a [BlobSource] that speaks the OCI distribution spec. If it is an
// image2ipfs, give its URL to [gateway.New] too: it serves blocks as well.
type Registry struct {
	base       string
	repository string
	client     *http.Client
}

var _ BlobSource = (*Registry)(nil)

// NewRegistry makes a Registry of its URL, "http[s]://host[:port][/repository]".
// Without a repository blobs are asked for under the ciq name of their root, as
// an image2ipfs has them; with one, any registry can hold the image.
func NewRegistry(rawURL string) (*Registry, error) {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("registry %q: not the URL of a registry; write it as http://127.0.0.1:5000 or https://registry.example.com/team/app", redact.URL(rawURL))
	}
	repository := strings.Trim(u.Path, "/")
	u.Path = ""
	return &Registry{base: u.String(), repository: repository, client: registryClient}, nil
}

// registryClient is shared by all registries.
var registryClient = &http.Client{Transport: transport.New(16)}

// String is the URL, without user and password.
func (g *Registry) String() string {
	return strings.TrimSuffix("registry "+redact.URL(g.base)+"/"+g.repository, "/")
}

// Open asks for a blob (distribution-spec, "Pulling blobs").
func (g *Registry) Open(ctx context.Context, root cid.Cid, desc ocispec.Descriptor) (io.ReadCloser, error) {
	repository := g.repository
	if repository == "" {
		repository = ref.Ciq(root)
	}
	where := g.base + "/v2/" + repository + "/blobs/" + desc.Digest.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g, err)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // names the URL, perhaps with a password
		}
		return nil, fmt.Errorf("%w: %s, blob %s: %w", ipfs.ErrUnavailable, g, desc.Digest, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	resp.Body.Close()
	kind := ipfs.ErrUnavailable
	if resp.StatusCode == http.StatusNotFound {
		kind = ipfs.ErrNotFound
	}
	return nil, fmt.Errorf("%w: %s answers %s for blob %s", kind, g, resp.Status, desc.Digest)
}
