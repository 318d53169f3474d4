package server

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
)

// foreign gets blocks from wherever they are first found but the own store,
// and keeps small ones in memory. It implements [ipfs.Getter].
type foreign struct {
	*sources.Set              // all
	public       *sources.Set // those that are asked for everyone
	reserved     bool         // there are others
	asked        *sourceMetrics
	gateways     []*remoteGateway // that clients can be sent to
	blocks       *budget.Cache[cid.Cid, []byte]
	memory       *budget.Budget
	shared       *sharing // blocks of blobs that are on their way
	turns        *turns
}

// remoteGateway is a source that clients can be sent to.
type remoteGateway struct {
	*sources.Source
	gateway Gateway
	// doubtful is set while it has not answered since it failed to.
	doubtful atomic.Bool
	paths    atomic.Pointer[pathAnswer]
}

const (
	// maxCached is the largest block that is held in memory wherever it is of:
	// directories, inner nodes of files and most manifests are smaller, layers'
	// leaves are not.
	maxCached = 64 << 10
	// forgiveAfter is how long a source that sent a false block is not asked:
	// a server runs for long, and whoever runs the source may repair it.
	forgiveAfter = 10 * time.Minute
	// patience is how long a request waits for a source that asks to be left
	// alone; clients are told to come back after longer ones.
	patience = 5 * time.Second
)

func newForeign(cfg Config, life *lifetime) *foreign {
	f := &foreign{shared: newSharing(life), turns: &turns{}, asked: newSourceMetrics(), blocks: budget.NewCache[cid.Cid, []byte](cfg.Limits.Blocks, 1, cfg.Memory), memory: cfg.Memory}
	var reserved, public []*sources.Source
	for _, g := range cfg.Reserved {
		reserved = append(reserved, sources.Far(f.asked.wrap(g)))
	}
	for _, g := range cfg.Remote {
		public = append(public, sources.Far(f.asked.wrap(g)))
	}
	for _, gw := range cfg.Gateways {
		g := &remoteGateway{Source: sources.Far(f.asked.wrap(gw)), gateway: gw}
		f.gateways = append(f.gateways, g)
		public = append(public, g.Source)
	}
	options := sources.Options{
		Hedge: cfg.Limits.Hedge, Fetch: cfg.Limits.Fetch, Retry: cfg.Limits.Retry,
		Forgive: forgiveAfter, Insist: true, Patience: patience, Logger: cfg.Logger,
	}
	f.reserved = len(reserved) > 0
	f.public = sources.New(options, public...)
	f.Set = sources.New(options, append(reserved, public...)...)
	return f
}

// Close ends what is under way.
func (f *foreign) Close() error { return errors.Join(f.public.Close(), f.Set.Close()) }

// Get gives a block that is in memory or that a source has. Errors are those
// of [sources.Set.Get], except that a panic is not told to clients. Those that are
// reserved are asked only for whom the context allows it.
func (f *foreign) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := f.blocks.Get(c); ok {
		return data, nil
	}
	from := f.public
	if mayFetch(ctx) {
		from = f.Set
	}
	data, err := from.Get(ctx, c)
	err = hidden(err)
	if err == nil && len(data) <= maxCached {
		f.keep(c, data)
	}
	return data, err
}

// keep remembers a block.
func (f *foreign) keep(c cid.Cid, data []byte) {
	if cap(data) > len(data)+len(data)/8+64 { // of a source that did not know the length
		data = bytes.Clone(data)
	}
	f.blocks.Put(c, data, int64(cap(data))+128)
}

// hidden keeps what a panic says from clients.
func hidden(err error) error {
	if errors.Is(err, sources.ErrPanic) {
		return errInternal
	}
	return err
}

// isEmpty tells that there is no source at all.
func (f *foreign) isEmpty() bool { return len(f.Sources()) == 0 }

var _ ipfs.Getter = (*foreign)(nil)
