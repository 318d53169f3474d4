package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// redirects decides to which gateway clients are sent for the blobs of a root:
// to one that has answered for that root, and for the blob if it is here. What
// gateways said is remembered, so a decision costs a look-up or two; old
// knowledge is renewed in the background.
type redirects struct {
	life     *lifetime
	gateways []*remoteGateway
	known    *lru[cid.Cid, choice]
	probes   *flights[cid.Cid, choice]
	limits   Limits
}

// choice is what the gateways said about a root.
type choice struct {
	gateway *remoteGateway // nil when none has it
	asked   time.Time
}

const (
	maxChoices = 10_000 // roots that redirects remembers, about 2 MB
	// staleFactor times Limits.Found is how long a gateway's yes is acted upon
	// while it is being renewed.
	staleFactor = 2
	// patientFraction of Limits.Probe is how long a request waits for a gateway
	// although this server could answer it.
	patientFraction = 4
)

func newRedirects(life *lifetime, f *foreign, cfg Config) *redirects {
	p := &redirects{
		life: life, limits: cfg.Limits,
		known:  newLRU[cid.Cid, choice](maxChoices),
		probes: newFlights[cid.Cid, choice](life, cfg.Limits.Probe),
	}
	for _, g := range f.gateways {
		if hasLogin(g.gateway) {
			cfg.Logger.Warn("clients are not redirected to a gateway whose URL has a user or password", "gateway", g.String())
			continue
		}
		cfg.Logger.Info("redirecting to", "gateway", g.String())
		p.gateways = append(p.gateways, g)
	}
	return p
}

// hasLogin tells whether a gateway's URLs carry a user or password, which are this
// server's and not to be told to clients, nor to the access log.
func hasLogin(g Gateway) bool {
	empty := cid.NewCidV1(cid.Raw, []byte{multihash.IDENTITY, 0})
	u, err := url.Parse(g.FileURL(empty, ""))
	return err != nil || u.User != nil
}

// gateway is where to send clients for the blobs of root; nil when they must
// be streamed. With an alternative to redirecting, hasOther, an old no is taken
// as it is while the gateways are asked again; otherwise they are waited for.
func (p *redirects) gateway(ctx context.Context, root cid.Cid, hasOther func() bool) *remoteGateway {
	if p == nil || len(p.gateways) == 0 {
		return nil
	}
	return p.choose(ctx, root, nil, hasOther)
}

// choose is gateway for any CID. A preferred one is asked first.
func (p *redirects) choose(ctx context.Context, root cid.Cid, preferred *remoteGateway, hasOther func() bool) *remoteGateway {
	c, ok := p.known.get(root)
	age := time.Since(c.asked)
	switch {
	case ok && preferred != nil && c.gateway != nil && c.gateway != preferred && age >= p.limits.Found:
		// The other was quicker once: the preferred one is waited for again.
	case ok && c.gateway != nil && c.gateway.Up():
		return p.renewed(ctx, root, c, hasOther)
	case ok && c.gateway == nil:
		if age < p.limits.Retry {
			return nil
		}
		if run := p.ask(root, preferred); hasOther() {
			return nil
		} else {
			return waitFor(ctx, run)
		}
	}
	return waitFor(ctx, p.ask(root, preferred))
}

// renewed is the gateway of c, which has said yes to root before, as long as it
// still does. It is asked again in the background as long as clients are sent
// to it; after a pause it is waited for, for a moment only when hasOther.
func (p *redirects) renewed(ctx context.Context, root cid.Cid, c choice, hasOther func() bool) *remoteGateway {
	age, doubtful := time.Since(c.asked), c.gateway.doubtful.Load()
	if age < p.limits.Found && !doubtful {
		return c.gateway
	}
	run := p.ask(root, c.gateway)
	switch {
	case age < staleFactor*p.limits.Found && !doubtful:
		return c.gateway
	case !hasOther():
	case doubtful:
		return nil
	default:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.limits.Probe/patientFraction)
		defer cancel()
	}
	return waitFor(ctx, run)
}

func waitFor(ctx context.Context, run *flight[choice]) *remoteGateway {
	c, err := run.wait(ctx)
	if err != nil { // the client went away, or the server is closing
		return nil
	}
	return c.gateway
}

// prepare asks the gateways for root, if that was not done yet, or not lately,
// so that the answer is there when the blobs are asked for.
func (p *redirects) prepare(root cid.Cid) {
	if p == nil || len(p.gateways) == 0 {
		return
	}
	if c, ok := p.known.get(root); !ok || c.gateway != nil && time.Since(c.asked) >= p.limits.Found {
		p.ask(root, c.gateway)
	}
}

// ask has the gateways asked, preferred one first.
func (p *redirects) ask(root cid.Cid, preferred *remoteGateway) *flight[choice] {
	return p.probes.join(root, func(ctx context.Context) (choice, error) {
		c := choice{gateway: p.probe(ctx, root, preferred), asked: time.Now()}
		p.known.put(root, c, 1)
		return c, nil
	})
}

// probe asks all gateways at once and takes the first that says yes. The
// preferred one, to which clients were sent before, has a head start. When none
// is up, those that failed lately have a moment to show that they are well again.
func (p *redirects) probe(ctx context.Context, root cid.Cid, preferred *remoteGateway) *remoteGateway {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		from *remoteGateway
		err  error
	}
	results := make(chan result, len(p.gateways))
	pending := 0
	start := func(from *remoteGateway) {
		err := p.life.start(func() {
			_, err := contain(ctx, p.life, func(ctx context.Context) (struct{}, error) { return struct{}{}, from.gateway.Has(ctx, root) })
			from.Report(ctx, err)
			if ctx.Err() == nil {
				from.doubtful.Store(errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, ipfs.ErrOneBlock))
			}
			results <- result{from, err}
		})
		if err == nil {
			pending++
		}
	}
	if preferred != nil && preferred.Up() {
		start(preferred)
		timer := time.NewTimer(p.limits.Probe / 4)
		defer timer.Stop()
		select {
		case r := <-results:
			if pending--; r.err == nil {
				return r.from
			}
		case <-timer.C:
		}
	}
	for _, from := range p.gateways {
		if from != preferred && from.Up() {
			start(from)
		}
	}
	if pending == 0 { // none is up, but one may be well again
		var enough context.CancelFunc
		ctx, enough = context.WithTimeout(ctx, p.limits.Probe/patientFraction)
		defer enough()
		for _, from := range p.gateways {
			if from != preferred && from.Resting() {
				start(from)
			}
		}
	}
	for ; pending > 0; pending-- {
		select {
		case r := <-results:
			if r.err == nil {
				return r.from
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// holds tells whether a gateway that has a root has a blob of it too: asked before
// a client is sent away from a server that has it itself, which waits a moment
// for the answer. Many gateways keep the root of what somebody once looked at.
func (p *redirects) holds(ctx context.Context, g *remoteGateway, blob cid.Cid) bool {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Probe/patientFraction)
	defer cancel()
	return p.choose(ctx, blob, g, func() bool { return true }) == g
}

// nobody is the error for a blob that is not in the own store and for which no
// gateway answers.
func (p *redirects) nobody(what string) error {
	return fmt.Errorf("%w: %s is not in this server's store and no gateway answered for it, asked: %s",
		ipfs.ErrUnavailable, what, p.names())
}

func (p *redirects) names() string {
	return gatewayNames(p.gateways)
}
