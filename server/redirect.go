package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// redirects decides to which gateway clients are sent for the blobs of a root:
// to one that they can follow to, which serves ranges by path, and has answered
// for that root, and for the blob if it is here. What gateways said is remembered,
// so a decision costs a look-up or two; old knowledge is renewed in the background.
type redirects struct {
	life     *lifetime
	log      *slog.Logger
	gateways []*remoteGateway
	targets  []target // of gateways
	known    *budget.Cache[question, choice]
	probes   *flights[question, choice]
	paths    *flights[*remoteGateway, *pathAnswer]
	sent     *sent
	limits   Limits
}

// question is who of some gateways has a root or blob.
type question struct {
	c   cid.Cid
	who gatewaySet
}

// gatewaySet has a bit for each of the gateways.
type gatewaySet uint64

// choice is what the gateways said about a root.
type choice struct {
	gateway *remoteGateway // nil when none has it
	asked   time.Time
}

const (
	maxChoices = 10_000 // roots that redirects remembers, about 2 MB
	// maxTargets is how many gateways clients are redirected to.
	maxTargets = 64
	// staleFactor times Limits.Found is how long a gateway's yes is acted upon
	// while it is being renewed.
	staleFactor = 2
	// patientFraction of Limits.Probe is how long a request waits for a gateway
	// although this server could answer it.
	patientFraction = 4
)

// newRedirects is nil where clients are never redirected.
func newRedirects(life *lifetime, f *foreign, cfg Config) *redirects {
	if cfg.NoRedirect || len(f.gateways) == 0 {
		return nil
	}
	if cfg.Allow != nil {
		cfg.Logger.Info("clients are not redirected: gateways know nothing of --allow and --pinned")
		return nil
	}
	if cfg.AuthRead {
		cfg.Logger.Info("clients are not redirected: gateways ask for no password")
		return nil
	}
	p := &redirects{
		life: life, log: cfg.Logger, limits: cfg.Limits,
		known:  budget.NewCache[question, choice](maxChoices, 256, f.memory),
		probes: newFlights[question, choice](life, cfg.Limits.Probe),
		paths:  newFlights[*remoteGateway, *pathAnswer](life, cfg.Limits.Probe),
		sent:   newSent(cfg.Limits.Again, f.memory),
	}
	for _, g := range f.gateways {
		location := g.gateway.FileURL(cid.NewCidV1(cid.Raw, []byte{multihash.IDENTITY, 0}), "")
		to, err := targetOf(location)
		switch {
		case err != nil || hasLogin(location):
			cfg.Logger.Warn("clients are not redirected to a gateway whose URL has a user or password", "gateway", g.String())
			continue
		case len(p.gateways) == maxTargets:
			cfg.Logger.Warn(fmt.Sprintf("clients are redirected to the first %d gateways only", maxTargets), "gateway", g.String())
			continue
		}
		to.log(cfg.Logger, g.String())
		p.gateways, p.targets = append(p.gateways, g), append(p.targets, to)
	}
	return p
}

// hasLogin tells whether a gateway's URLs carry a user or password, which are this
// server's and not to be told to clients, nor to the access log.
func hasLogin(location string) bool {
	u, err := url.Parse(location)
	return err != nil || u.User != nil
}

// followed are the gateways to which a client can be sent. One that refuses private
// addresses is sent there only without an alternative to it, hasOther: older
// versions of these clients follow.
func (p *redirects) followed(c asker, hasOther func() bool) (set gatewaySet) {
	if p == nil {
		return 0
	}
	for i, to := range p.targets {
		if c.follows(to) && !(c.shuns && to.private && hasOther()) {
			set |= 1 << i
		}
	}
	return set
}

// gateway is where to send the client that asks for a blob of root; nil when it
// must be streamed. With an alternative to redirecting, hasOther, an old no is taken
// as it is while the gateways are asked again; otherwise they are waited for.
func (p *redirects) gateway(r *http.Request, root cid.Cid, hasOther func() bool) *remoteGateway {
	who := p.followed(askerOf(r), hasOther)
	if who == 0 || p.sent.lately(r) && hasOther() {
		return nil
	}
	return p.choose(r.Context(), question{root, who}, hasOther)
}

// choose answers q.
func (p *redirects) choose(ctx context.Context, q question, hasOther func() bool) *remoteGateway {
	c, ok := p.known.Get(q)
	age := time.Since(c.asked)
	switch {
	case ok && c.gateway != nil && c.gateway.Up():
		return p.renewed(ctx, q, c, hasOther)
	case ok && c.gateway == nil:
		if age < p.limits.Retry {
			return nil
		}
		if run := p.ask(q, nil); hasOther() {
			return nil
		} else {
			return waitFor(ctx, run)
		}
	}
	return waitFor(ctx, p.ask(q, nil))
}

// renewed is the gateway of c, which has said yes to q before, as long as it
// still does. It is asked again in the background as long as clients are sent
// to it; after a pause it is waited for, for a moment only when hasOther.
func (p *redirects) renewed(ctx context.Context, q question, c choice, hasOther func() bool) *remoteGateway {
	age, doubtful := time.Since(c.asked), c.gateway.doubtful.Load()
	if age < p.limits.Found && !doubtful {
		return c.gateway
	}
	run := p.ask(q, c.gateway)
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

// prepare asks the gateways to which this client can be sent for root, if that was
// not done yet, or not lately, so that the answer is there when it asks for blobs.
func (p *redirects) prepare(r *http.Request, root cid.Cid) {
	who := p.followed(askerOf(r), func() bool { return false })
	if who == 0 {
		return
	}
	q := question{root, who}
	if c, ok := p.known.Get(q); !ok || c.gateway != nil && time.Since(c.asked) >= p.limits.Found {
		p.ask(q, c.gateway)
	}
}

// ask has the gateways asked, preferred one first.
func (p *redirects) ask(q question, preferred *remoteGateway) *flight[choice] {
	return p.probes.join(context.Background(), q, func(ctx context.Context) (choice, error) {
		c := choice{gateway: p.probe(ctx, q, preferred), asked: time.Now()}
		p.known.Put(q, c, 1)
		return c, nil
	})
}

// probe asks all gateways at once and takes the first that says yes. The
// preferred one, to which clients were sent before, has a head start. When none
// is up, those that failed lately have a moment to show that they are well again.
func (p *redirects) probe(ctx context.Context, q question, preferred *remoteGateway) *remoteGateway {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		from *remoteGateway
		err  error
	}
	results := make(chan result, len(p.gateways))
	pending := 0
	asked := p.members(q.who)
	start := func(from *remoteGateway) {
		err := p.life.start(func() {
			results <- result{from, p.has(ctx, from, q.c)}
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
	for _, from := range asked {
		if from != preferred && from.Up() {
			start(from)
		}
	}
	if pending == 0 { // none is up, but one may be well again
		var enough context.CancelFunc
		ctx, enough = context.WithTimeout(ctx, p.limits.Probe/patientFraction)
		defer enough()
		for _, from := range asked {
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

// has tells by nil that a gateway can serve what is below c, and how.
func (p *redirects) has(ctx context.Context, g *remoteGateway, c cid.Cid) error {
	_, err := contain(ctx, p.life, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.gateway.Has(ctx, c) })
	g.Report(ctx, err)
	if ctx.Err() == nil {
		g.doubtful.Store(errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, ipfs.ErrOneBlock))
	}
	if err != nil {
		return err
	}
	return g.servesPaths(ctx, p)
}

// members are the gateways of a set.
func (p *redirects) members(set gatewaySet) (all []*remoteGateway) {
	for i, g := range p.gateways {
		if set&(1<<i) != 0 {
			all = append(all, g)
		}
	}
	return all
}

// holds tells whether a gateway that has a root has a blob of it too: asked before
// a client is sent away from a server that has it itself, which waits a moment
// for the answer. Many gateways keep the root of what somebody once looked at.
func (p *redirects) holds(ctx context.Context, g *remoteGateway, blob cid.Cid) bool {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Probe/patientFraction)
	defer cancel()
	for i, other := range p.gateways {
		if other == g {
			return p.choose(ctx, question{blob, 1 << i}, func() bool { return true }) != nil
		}
	}
	return false
}

// nobody is the error for a blob that is not in the own store and for which no
// gateway answers.
func (p *redirects) nobody(what string) error {
	return fmt.Errorf("%w: %s is not in this server's store and no gateway answered for it, asked: %s",
		ipfs.ErrUnavailable, what, p.names())
}

func (p *redirects) names() string {
	names := make([]string, len(p.gateways))
	for i, g := range p.gateways {
		names[i] = g.String()
		if g.sourceOnly() {
			names[i] += " (which serves no files by path)"
		}
	}
	return strings.Join(names, ", ")
}
