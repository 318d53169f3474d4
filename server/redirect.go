package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	trustless "github.com/image2ipfs/image2ipfs/ipfs/gateway"
)

// redirects decides to which gateway clients are sent for the blobs of a root:
// to one that has answered for that root. What gateways said is remembered, so
// a decision costs one look-up; old knowledge is renewed in the background.
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

func newRedirects(life *lifetime, f *foreign, limits Limits) *redirects {
	return &redirects{
		life: life, gateways: f.gateways, limits: limits,
		known:  newLRU[cid.Cid, choice](maxChoices),
		probes: newFlights[cid.Cid, choice](life, limits.Probe),
	}
}

// gateway is where to send clients for the blobs of root; nil when they must
// be streamed. With an alternative to redirecting, hasOther, an old no is taken
// as it is while the gateways are asked again; otherwise they are waited for.
func (p *redirects) gateway(ctx context.Context, root cid.Cid, hasOther func() bool) *remoteGateway {
	if p == nil || len(p.gateways) == 0 {
		return nil
	}
	c, ok := p.known.get(root)
	age := time.Since(c.asked)
	switch {
	case ok && c.gateway != nil && c.gateway.Up():
		return p.renewed(ctx, root, c, hasOther)
	case ok && c.gateway == nil:
		if age < p.limits.Retry {
			return nil
		}
		if run := p.ask(root, nil); hasOther() {
			return nil
		} else {
			return waitFor(ctx, run)
		}
	}
	return waitFor(ctx, p.ask(root, nil))
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
				from.doubtful.Store(errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, trustless.ErrOneBlock))
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

// nobody is the error for a blob that is not in the own store and for which no
// gateway answers.
func (p *redirects) nobody(what string) error {
	return fmt.Errorf("%w: %s is not in this server's store and no gateway answered for it, asked: %s",
		ipfs.ErrUnavailable, what, p.names())
}

func (p *redirects) names() string {
	return gatewayNames(p.gateways)
}
