package server

import (
	"context"
	"errors"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// pathAnswer is what is known of whether a gateway serves files by path.
type pathAnswer struct {
	err   error // nil when it does
	asked time.Time
}

// servesPaths tells by nil that clients get files from the gateway by path, in
// ranges. One that gives nothing but blocks and CARs (trustless gateway
// specification) is a source for this server, and useless to them. It is asked
// once, and from time to time.
func (g *remoteGateway) servesPaths(ctx context.Context, p *redirects) error {
	if known := g.paths.Load(); known != nil && time.Since(known.asked) < p.limits.Paths {
		return known.err
	}
	a, err := p.paths.join(context.Background(), g, func(ctx context.Context) (*pathAnswer, error) {
		a := &pathAnswer{err: g.gateway.ByPath(ctx), asked: time.Now()}
		if errors.Is(a.err, ipfs.ErrUnavailable) || ctx.Err() != nil {
			return a, nil // it may answer the next time
		}
		if last := g.paths.Swap(a); a.err != nil && (last == nil || last.err == nil) {
			p.log.Warn("clients are not redirected to this gateway, which is a source of blocks all the same", "gateway", g.String(), "error", a.err)
		}
		return a, nil
	}).wait(ctx)
	if err != nil {
		return err
	}
	return a.err
}

// sourceOnly tells that a gateway is known to serve no files by path.
func (g *remoteGateway) sourceOnly() bool {
	known := g.paths.Load()
	return known != nil && known.err != nil
}
