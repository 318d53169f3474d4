// Package server is the registry: it serves OCI image layouts that lie on IPFS
// as the pull side of the OCI distribution spec (v1.1), read-only.
//
// Manifests are read as blocks that are checked against their CIDs and served
// from here; blobs come from the own store, or clients are redirected to an
// IPFS gateway. Handlers return errors; errors.go alone turns them into
// responses.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/server/page"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Gateway is an IPFS gateway that clients can be redirected to.
type Gateway interface {
	// Getter reads single blocks from it.
	ipfs.Getter
	// String is its URL, for humans.
	String() string
	// FileURL is where clients get the file at a path below root.
	FileURL(root cid.Cid, path string) string
	// Has asks whether the gateway can serve root. Errors match
	// [ipfs.ErrNotFound] or [ipfs.ErrUnavailable].
	Has(ctx context.Context, root cid.Cid) error
	// ByPath asks whether the gateway gives one range of a file that is asked for
	// by path, as clients that are redirected do. Errors that match
	// [ipfs.ErrUnavailable] leave that open.
	ByPath(ctx context.Context) error
}

// Config says where a [Server] has its blocks from and what it may do.
type Config struct {
	// Local is the own store; nil for none. It must answer at once from what
	// it holds and never ask a network for blocks.
	Local ipfs.Getter
	// Dir is the directory of Local; "" for none. /healthz, images and
	// files are unavailable while it is gone, and what clients are told does not name it.
	Dir string
	// Ready tells whether the own store can be read, and written where pushes are taken;
	// nil where that is not known. /healthz asks it.
	Ready func() error
	// Disk tells how many bytes the own store and its cache take; nil where that is not known.
	Disk func() (store, cache int64, err error)
	// Version is that of the program, for /metrics and the page.
	Version string
	// LocalAhead is how many blocks of Local are read ahead. Use 0 for a store
	// in this process, a few for one behind a socket.
	LocalAhead int
	// Remote are sources of what is not in Local, asked before the gateways.
	// Their blocks are checked. A String method names them in messages.
	Remote []ipfs.Getter
	// Reserved are such sources, too, asked before Remote, and only for those for
	// whom this server fetches: see Open and OpenHere.
	Reserved []ipfs.Getter
	// Gateways are sources as well, and clients are redirected to those that serve
	// files by path, where they can follow; never with Allow.
	Gateways []Gateway
	// NoRedirect streams blobs even when a gateway has them.
	NoRedirect bool
	// Open allows to fetch blobs that are not in Local and stream them.
	Open bool
	// OpenHere allows it for requests from this machine: from the loopback, by a
	// Host that means this machine, and not passed on by a proxy (Forwarded, Via,
	// X-Forwarded-*).
	OpenHere bool
	// Hosts are names under which this server is asked beside those of this
	// machine, when [Server.Serve] listens on the loopback alone, and others than
	// which it does not answer then.
	Hosts []string
	// Proxies are whose X-Forwarded-For tells where a request comes from.
	Proxies []netip.Prefix
	// Allow limits the roots that are served; nil for all.
	Allow Allow
	// Signed refuses what is neither signed as it requires nor reached from what is, by
	// whatever name or digest; nil for nothing. What was pushed here and has no CID in its
	// name is not held to it: an image has to be there before it can be signed.
	Signed *trust.Policy
	// TLS is used by [Server.Serve]; nil for plain HTTP. See [TLS].
	TLS *tls.Config
	// Names finds what names that move mean; nil for none.
	Names ipfs.Names
	// Pushed is what local names mean, and what is pushed goes into; nil for none. It is
	// reached by [Server.PushHandler] alone. Its store is Local, or a part of that.
	Pushed *pushed.Registry
	// PushTLS is that of the address for pushes; nil for TLS.
	PushTLS *tls.Config
	// Passwords are asked for by all of [Server.PushHandler]; nil for none.
	Passwords Passwords
	// AuthRead has the other addresses ask for them, too, but for /healthz; nobody is
	// redirected then.
	AuthRead bool
	// AnyoneMayPush takes pushes, and asks for passwords, where others may push or
	// listen: see [Config.Expose].
	AnyoneMayPush bool
	// Registry is the host in the names that clients are told who push; "" for that
	// by which they asked.
	Registry string
	// Moved is told what was pushed to a repository, and moves the names that follow it,
	// which it gives; nil for none. Pushes wait for it.
	Moved func(ctx context.Context, repository string, result pushed.Result) (moved []MovedName, err error)
	// Recompress makes a second root beside each that is pushed; nil for none.
	Recompress Recompress
	// Events are told what was pushed; nil for nobody.
	Events *Events
	// Kept lists what the own store keeps, for /v2/_catalog; nil for nothing.
	Kept func(ctx context.Context) ([]ipfs.Root, error)
	// Catalog answers /v2/_catalog for everyone, not only for requests from this
	// machine.
	Catalog bool
	// Stored tells /metrics what the own store keeps; nil when that is not known.
	Stored func(ctx context.Context) (Stored, error)
	// Used is told of roots that were pulled, each once in a while; nil for nobody. Its
	// errors are logged.
	Used func(root cid.Cid) error
	// UsedHeld is the same of what the record of a manifest keeps that no root has; nil
	// for nobody.
	UsedHeld func(hold cid.Cid) error
	// Collected tells /metrics what was freed of the own store in the background; nil
	// when nothing is.
	Collected func() Collected
	// Scrubbed tells /metrics how far the reading of the own store in the background
	// is; nil when there is none.
	Scrubbed func() Scrubbed
	// Collectors add to /metrics. They must differ in name from the server's own.
	Collectors []prometheus.Collector
	// MetricsElsewhere leaves /metrics to [Server.ServeMetrics].
	MetricsElsewhere bool
	// Memory is what strangers are given of the process's memory; one of
	// Limits.Memory's size when nil. Who else answers strangers in this process shares it.
	Memory *Memory
	// Page is what people see of the server in a browser, at "/"; nil for none. Its Disk,
	// Version, Local and Kept are the server's, less what Allow leaves out.
	Page *page.Config
	// NoAccessLog leaves requests that were answered out of the log.
	NoAccessLog bool
	// Logger takes the access log and what goes wrong; nil for none.
	Logger *slog.Logger
	// Limits are replaced by defaults where they are zero.
	Limits Limits
}

// Limits bound what requests can cost.
type Limits struct {
	Memory    int64 // bytes that the process may take; default 512 MiB
	Layouts   int64 // bytes of layouts kept in memory; default a sixteenth of Memory
	Manifests int64 // bytes of manifests kept in memory; default a sixteenth of Memory
	Blob      int64 // bytes of one blob that is pushed; default 256 GiB
	Blocks    int64 // bytes of blocks of remote sources kept in memory, small ones and those that small ranges ask for; default a 32nd of Memory

	MaxConns int // connections of [Server.Serve]; default 4096

	Open  time.Duration // to open a layout or read a manifest; default 20 s
	Fetch time.Duration // to get one block from one remote source; default 8 s
	Hedge time.Duration // after which the next source is asked as well; default 1 s
	Probe time.Duration // to ask gateways for a root; default 3 s
	Found time.Duration // for which a gateway's yes is remembered; default 5 s
	Paths time.Duration // for which it is remembered whether a gateway serves files by path; default 1 min
	Again time.Duration // in which a client that was redirected and asks again is not; default 10 s
	Retry time.Duration // for which a no or a dead source is remembered; default 5 s
	Stall time.Duration // in which a client must take 256 KiB; default 1 min
	Grace time.Duration // for running transfers at shutdown; default 30 s
}

// Options are those of what is made for a [Config].
type Options struct {
	Logger *slog.Logger // nil for silence
}

func (l *Limits) setDefaults() {
	if l.Memory == 0 {
		l.Memory = budget.Default
	}
	for field, value := range map[*int64]int64{&l.Layouts: l.Memory / 16, &l.Manifests: l.Memory / 16, &l.Blocks: l.Memory / 32, &l.Blob: 256 << 30} {
		if *field == 0 {
			*field = value
		}
	}
	if l.MaxConns == 0 {
		l.MaxConns = 4096
	}
	for field, value := range map[*time.Duration]time.Duration{
		&l.Open: 20 * time.Second, &l.Fetch: 8 * time.Second, &l.Hedge: time.Second,
		&l.Probe: 3 * time.Second, &l.Found: 5 * time.Second, &l.Retry: 5 * time.Second,
		&l.Paths: time.Minute, &l.Again: 10 * time.Second,
		&l.Stall: time.Minute, &l.Grace: 30 * time.Second,
	} {
		if *field == 0 {
			*field = value
		}
	}
}

// Server is an http.Handler. It must be closed.
type Server struct {
	cfg        Config
	log        *slog.Logger
	life       *lifetime
	local      ipfs.Getter // has nothing when the server has no store
	foreign    *foreign
	metadata   ipfs.Getter // checked blocks from anywhere
	old        *oldTrees
	roots      *roots
	manifests  *manifests
	signatures *signatures                      // of what has to be signed
	listing    *flights[rootQuestion, struct{}] // of referrers
	redirects  *redirects
	memory     *budget.Budget
	streams    *streams
	whole      *budget.Cache[cid.Cid, struct{}] // blobs that are wholly in local, or were
	metrics    *metrics
	uploads    *uploads
	advised    *budget.Cache[string, struct{}] // repositories whose pushers were told what costs space
	running    atomic.Int64                    // requests being answered
	listening  listening

	recompressing chan struct{} // one at a time
	uses          uses
	live          atomic.Pointer[Live] // what may change
	page          *page.Page           // nil for none
	traffic       page.Traffic
	pushes        page.Pushes
	listeners     *budget.Share // places for who is told of pushes
}

// New makes a server. The error tells of a Config that makes no sense.
func New(cfg Config) (*Server, error) {
	if cfg.Local == nil && len(cfg.Remote)+len(cfg.Reserved)+len(cfg.Gateways) == 0 {
		return nil, errors.New("the server has nothing to serve: no store, no IPFS node and no gateway")
	}
	if cfg.LocalAhead < 0 {
		return nil, fmt.Errorf("LocalAhead is %d, expected 0 or more", cfg.LocalAhead)
	}
	if cfg.AuthRead && cfg.Passwords == nil {
		return nil, errors.New("AuthRead asks for passwords, and there are none")
	}
	if cfg.Memory != nil {
		cfg.Limits.Memory = cfg.Memory.Total()
	}
	cfg.Limits.setDefaults()
	if cfg.Memory == nil {
		cfg.Memory = budget.New(cfg.Limits.Memory)
	}
	cfg.Logger = silent.Logger(cfg.Logger)
	s := &Server{cfg: cfg, log: cfg.Logger, local: cfg.Local, life: newLifetime(cfg.Logger)}
	if s.local == nil {
		s.local = nothing{}
	}
	s.SetLive(Live{Catalog: cfg.Catalog, NoAccessLog: cfg.NoAccessLog})
	s.memory = cfg.Memory
	s.foreign = newForeign(cfg, s.life)
	s.metadata = ipfs.First(ipfs.Verified(s.local), s.foreign)
	s.old = newOldTrees(s.life, s.local, s.metadata, s.foreign, s.memory)
	s.roots = newRoots(s.life, s.local, s.metadata, s.old, s.foreign, cfg.Limits, s.memory)
	s.manifests = newManifests(s.life, s.roots, cfg.Limits)
	s.signatures = newSignatures(s)
	s.listing = newFlights[rootQuestion, struct{}](s.life, cfg.Limits.Open)
	s.redirects = newRedirects(s.life, s.foreign, cfg)
	s.streams = &streams{s.memory.Sending}
	s.whole = budget.NewCache[cid.Cid, struct{}](maxWhole, 256, s.memory)
	s.uploads = newUploads(s.life, s.memory)
	s.advised = budget.NewCache[string, struct{}](maxAdvised, 512, s.memory)
	s.recompressing = make(chan struct{}, 1)
	s.metrics = newMetrics(s)
	s.listeners = budget.NewShare("who are told of pushes", maxListeners)
	s.page = s.openPage()
	s.logFetching()
	return s, nil
}

// Close stops what runs in the background and waits for it.
func (s *Server) Close() error {
	s.life.end()
	return errors.Join(s.uploads.close(), s.foreign.Close())
}

// nothing is a store without blocks.
type nothing struct{}

func (nothing) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	return nil, fmt.Errorf("block %s: %w: this server has no store of its own", c, ipfs.ErrNotFound)
}
