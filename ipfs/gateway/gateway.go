// Package gateway reads blocks from IPFS HTTP gateways and trusts none of
// them: blocks are asked for as they are, one by one or a whole DAG as a CAR
// (trustless gateway specification,
// https://specs.ipfs.tech/http-gateways/trustless-gateway/), and hashed.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/internal/transport"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

const (
	rawType = "application/vnd.ipld.raw"
	// maxBlock is bitswap's limit for a block, 2 MiB, and a little.
	maxBlock = 2<<20 + 64<<10
)

// Time-outs and limits where nothing else is said.
const (
	defaultAnswer = 40 * time.Second // Options.Answer
	defaultIdle   = 15 * time.Second // Options.Idle
	defaultProbe  = 5 * time.Second  // Options.Probe
)

// Options are the limits of a gateway; the zero value is good.
type Options struct {
	// Answer is how long the first byte of an answer may take, 40 s when 0: Kubo's
	// gateway searches for 30 s before it says that it cannot find a block.
	Answer time.Duration
	// Idle is how long the transfer of an answer may stand still, 15 s when 0.
	Idle time.Duration
	// Probe is how long [Gateway.Has] may take, 5 s when 0.
	Probe time.Duration
	// Client makes the requests; nil for one that all gateways share.
	Client *http.Client
}

// Gateway is an HTTP gateway; it implements [ipfs.Getter] and is safe for
// concurrent use.
type Gateway struct {
	url    string // below which the contents are, as /ipfs/<cid>; perhaps with a password
	opts   Options
	client *http.Client
}

var _ ipfs.Getter = (*Gateway)(nil)

// shared is the client of all gateways. Blocks are small and many, so
// connections are kept.
var shared = &http.Client{Transport: transport.New(32)}

// New makes a Gateway of its base URL, "https://host[:port][/path]". The host
// localhost is replaced by 127.0.0.1, because gateways redirect localhost to
// subdomains that most resolvers do not know.
func New(rawURL string, opts Options) (*Gateway, error) {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("gateway %q: not the URL of an IPFS gateway; write it as http://127.0.0.1:8080 or https://gateway.example.com", redact.URL(rawURL))
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		u.Host = "127.0.0.1" + strings.TrimPrefix(u.Host, u.Hostname())
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/ipfs")
	opts.Answer = cmp.Or(opts.Answer, defaultAnswer)
	opts.Idle = cmp.Or(opts.Idle, defaultIdle)
	opts.Probe = cmp.Or(opts.Probe, defaultProbe)
	client := *shared
	if opts.Client != nil {
		client = *opts.Client
	}
	client.CheckRedirect = followWithin(u)
	return &Gateway{url: u.String(), opts: opts, client: &client}, nil
}

// String is the base URL, without user and password.
func (g *Gateway) String() string { return redact.URL(g.url) }

// BlobURL is where a client finds a blob of the layout at root, by a valid digest. It asks
// nobody.
func (g *Gateway) BlobURL(root cid.Cid, d digest.Digest) string {
	return g.FileURL(root, oci.BlobPath(d))
}

// FileURL is where a client finds the file at a path below root.
func (g *Gateway) FileURL(root cid.Cid, path string) string {
	below := url.URL{Path: "/ipfs/" + root.String() + "/" + path}
	return g.url + below.EscapedPath()
}

// Has tells whether the gateway gives the block of root, now and intact, by a
// nil error. Others match [ipfs.ErrNotFound] when the gateway says that there is
// no such block, [ipfs.ErrUnavailable] or [ipfs.ErrCorrupt].
func (g *Gateway) Has(ctx context.Context, root cid.Cid) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.opts.Probe, timeout{"the whole answer", g.opts.Probe})
	defer cancel()
	_, err := g.Get(ctx, root)
	return err
}

// Claims tells whether the gateway says that it has a block, without getting that, and
// from what it has itself where it knows that question (Cache-Control: only-if-cached).
// It is not checked. Errors match [ipfs.ErrUnavailable].
func (g *Gateway) Claims(ctx context.Context, c cid.Cid) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.opts.Probe, timeout{"the whole answer", g.opts.Probe})
	defer cancel()
	a, err := g.send(ctx, http.MethodHead, g.url+"/ipfs/"+c.String()+"?format=raw", http.Header{
		"Accept": {rawType}, "Cache-Control": {"only-if-cached"},
	})
	if err != nil {
		return false, err
	}
	defer a.close()
	return a.resp.StatusCode == http.StatusOK, nil
}
