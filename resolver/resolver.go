// Package resolver lets containerd, and whatever else takes a containerd
// remotes.Resolver, pull ciq… names natively from IPFS:
//
//	gw, err := gateway.New("https://ipfs.example.com", gateway.Options{})
//	...
//	r := resolver.New(resolver.WithStore(store), resolver.WithBlocks(gw))
//	defer r.Close()
//	image, err := client.Pull(ctx, "ciq…/app:1", containerd.WithResolver(r))
//
// No source is trusted: the name is the CID of the layout, every block is
// checked against its own CID, and content that is read from its start against
// size and digest of its descriptor as well. Errors say which source failed
// how, and match those of github.com/containerd/errdefs.
package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Timeouts say when a source is given up; zero fields have defaults.
type Timeouts struct {
	// Hedge is how long a source of blocks may take before the next one is
	// asked as well; 1 s when 0.
	Hedge time.Duration
	// Block is how long one source may take for one block, or stand still while
	// it comes; 40 s when 0.
	Block time.Duration
	// Retry is how long a source that failed is left alone; 5 s when 0.
	Retry time.Duration
	// Idle is how long a transfer from a source of whole blobs may stand
	// still; 30 s when 0.
	Idle time.Duration
	// Busy is how long a source that asks to be left alone (429, 503 with
	// Retry-After) is come back to, and never longer than the context of a call.
	// When 0 it is until that context's deadline; 5 min where it has none.
	Busy time.Duration
}

// Option configures a [Resolver].
type Option func(*config)

type config struct {
	set       *sources.Set
	near, far []ipfs.Getter
	blobs     []BlobSource
	timeouts  Timeouts
	ahead     int
	count     func(n int)
	log       *slog.Logger
	names     ipfs.Names
	policy    *trust.Policy
}

// WithStore adds a store that answers at once from what it holds. Stores are
// asked before everything else.
func WithStore(g ipfs.Getter) Option {
	return func(c *config) { c.near = append(c.near, g) }
}

// WithBlocks adds sources of blocks, to be asked in the order in which they
// are given: gateways, a Kubo daemon, a node with peers. A String method names
// them in messages.
func WithBlocks(g ...ipfs.Getter) Option {
	return func(c *config) { c.far = append(c.far, g...) }
}

// WithSources has blocks got from a set, which stays the caller's to close, in
// place of those of [WithStore] and [WithBlocks] and with its own time-outs. Who
// reads from it as well shares what is known of the sources: one that has sent a
// false block to either is not asked again by the other.
func WithSources(set *sources.Set) Option { return func(c *config) { c.set = set } }

// WithBlobs adds sources of whole blobs, such as a [Registry], which are asked
// for what no source of blocks gives.
func WithBlobs(b ...BlobSource) Option {
	return func(c *config) { c.blobs = append(c.blobs, b...) }
}

// WithTimeouts replaces the time-outs.
func WithTimeouts(t Timeouts) Option { return func(c *config) { c.timeouts = t } }

// WithReadAhead sets how many blocks of a blob are asked for at once, 16 by
// default; keep it below the 512 at which bitswap breaks down. Per blob that is
// being read, no more than 16 MiB are held.
func WithReadAhead(blocks int) Option { return func(c *config) { c.ahead = blocks } }

// WithProgress has fn told of every n bytes that are read from contents, by
// several goroutines at once.
func WithProgress(fn func(n int)) Option { return func(c *config) { c.count = fn } }

// WithLogger sets who is told about sources that fail; nobody by default.
func WithLogger(log *slog.Logger) Option { return func(c *config) { c.log = log } }

// Resolver finds images on IPFS. It is read-only, safe for concurrent use and
// must be closed.
type Resolver struct {
	blocks  *sources.Set
	own     *sources.Set // to close; nil when blocks are the caller's
	blobs   []*blobSource
	idle    time.Duration
	count   func(n int)
	log     *slog.Logger
	names   ipfs.Names // nil for none
	layouts layouts
	policy  *trust.Policy // nil when nothing has to be signed
	kept    trust.Kept

	mu      sync.Mutex
	ahead   int
	limiter *semaphore.Weighted // of blobs that are open at once; nil for none
}

var _ remotes.ResolverWithOptions = (*Resolver)(nil)

const (
	maxAhead = 256
)

// New makes a Resolver. It asks no source before it has to.
func New(opts ...Option) *Resolver {
	c := config{ahead: ipfs.ReadAhead}
	for _, o := range opts {
		o(&c)
	}
	if c.count == nil {
		c.count = func(int) {}
	}
	if c.timeouts.Idle == 0 {
		c.timeouts.Idle = 30 * time.Second
	}
	r := &Resolver{
		blocks: c.set,
		idle:   c.timeouts.Idle,
		count:  c.count,
		ahead:  min(max(c.ahead, 0), maxAhead),
		log:    silent.Logger(c.log),
		names:  c.names,
		policy: c.policy,
	}
	if r.blocks == nil {
		r.own = c.sources()
		r.blocks = r.own
	}
	for _, b := range c.blobs {
		r.blobs = append(r.blobs, &blobSource{BlobSource: b})
	}
	return r
}

// sources makes a set of the stores and sources that were given.
func (c *config) sources() *sources.Set {
	var all []*sources.Source
	for _, g := range c.near {
		all = append(all, sources.Near(g))
	}
	for _, g := range c.far {
		all = append(all, sources.Far(g))
	}
	return sources.New(sources.Options{
		Hedge: c.timeouts.Hedge, Fetch: c.timeouts.Block, Retry: c.timeouts.Retry, Insist: true,
		Patience: cmp.Or(c.timeouts.Busy, sources.Patience), UntilDeadline: c.timeouts.Busy == 0, Logger: c.log,
	}, all...)
}

// Close ends what is under way and waits for it. Sources stay open, and so does
// the set of [WithSources], with what is read from it.
func (r *Resolver) Close() error {
	if r.own == nil {
		return nil
	}
	return r.own.Close()
}

// SetOptions takes containerd's settings for a pull: how many blobs are open at
// once (DownloadLimiter), and how many blocks of each are asked for at once
// (MaxConcurrentDownloads). What is held of a blob is bounded as it is, so
// ConcurrentLayerFetchBuffer has no use here.
func (r *Resolver) SetOptions(opts ...transfer.ImageResolverOption) {
	var o transfer.ImageResolverOptions
	for _, opt := range opts {
		opt(&o)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limiter = o.DownloadLimiter
	if n := o.Performances.MaxConcurrentDownloads; n > 0 {
		r.ahead = min(n, maxAhead)
	}
}

// Resolve finds the image that a name means, in any spelling that
// [ref.ParseName] reads, or, of [WithNames], [ref.ParseMoving]. A digest in it must be that of an image in the layout
// and, next to a tag, of that tag's image. The returned name is the given one
// wherever containerd can take that as the name of an image. Errors match
// errdefs.ErrInvalidArgument for what is no name, ErrNotFound when no source
// has the layout or it has no such image (then they list what there is),
// ErrUnavailable when no source answers, ErrDataLoss for a broken layout,
// ErrPermissionDenied, and [trust.ErrUntrusted], for what is not signed as [WithPolicy]
// requires; a name that moves then means what it meant before, if that is.
func (r *Resolver) Resolve(ctx context.Context, name string) (string, ocispec.Descriptor, error) {
	n, before, err := r.parse(ctx, name)
	if err != nil {
		return "", ocispec.Descriptor{}, classified(fmt.Errorf("resolving %s: %w", name, err))
	}
	l, desc, err := r.resolve(ctx, n)
	if errors.Is(err, trust.ErrUntrusted) && n.Moving != "" {
		l, desc, err = r.stay(ctx, n, before, err)
	}
	if err != nil {
		return "", ocispec.Descriptor{}, classified(fmt.Errorf("resolving %s: %w", name, err))
	}
	return imageName(name, n, repositoryOf(l, desc.Digest)), desc, nil
}

// resolve finds what a name means under its root, and that it is signed.
func (r *Resolver) resolve(ctx context.Context, n ref.Name) (*layout.Layout, ocispec.Descriptor, error) {
	l, err := r.open(ctx, n.Root)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	desc, err := l.Resolve(ctx, n)
	if err == nil {
		err = r.signed(ctx, n.Root, l, desc.Digest, true)
	}
	if err == nil && r.policy != nil && n.Moving != "" {
		r.kept.Note(n.Moving, n.Root)
	}
	return l, desc, err
}

// Fetcher gives the contents of the layout that a name leads to. It also
// implements remotes.FetcherByDigest and remotes.ReferrersFetcher. Of a name that moves
// it also gives what that meant before. Errors match errdefs.ErrInvalidArgument, or are
// those of finding such a name.
func (r *Resolver) Fetcher(ctx context.Context, name string) (remotes.Fetcher, error) {
	n, before, err := r.parse(ctx, name)
	if err != nil {
		return nil, classified(err)
	}
	return &Fetcher{r: r, root: n.Root, before: before}, nil
}

// Pusher always fails, with an error that matches errdefs.ErrNotImplemented.
func (r *Resolver) Pusher(_ context.Context, name string) (remotes.Pusher, error) {
	return nil, fmt.Errorf("pushing to %s: %w: names on IPFS are read-only, since they are made of the content; publish with `image2ipfs publish`", name, errdefs.ErrNotImplemented)
}
