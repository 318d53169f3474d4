package names

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Divided finds names for a server, which does not ask everybody for everyone: see
// [ipfs.MayAsk]. It must be closed.
type Divided struct {
	all    *Resolver
	public *Resolver // asks those that are asked for everyone; all when that are all
	here   *Resolver // asks nobody

	lookups *prometheus.CounterVec // by result
}

var _ ipfs.Names = (*Divided)(nil)

// NewDivided makes one of which o.Sources are asked for everyone, and reserved and
// o.Several, which are peers, only for whom the server fetches what it does not have.
func NewDivided(store *Store, o Options, reserved ...ipfs.RecordSource) *Divided {
	o.ForOthers = true
	public, here := o, o
	public.Advice = "others are asked for requests from this machine alone: start the server with --open for that"
	here.Advice = "a server that is asked by another one asks no further"
	here.Sources, here.Several, here.Domains, here.Logger, public.Several = nil, nil, nil, nil, nil
	o.Sources = append(append([]ipfs.RecordSource{}, reserved...), o.Sources...)
	d := &Divided{all: NewResolver(store, o), here: NewResolver(store, here), lookups: metricLookups.Counters("fresh", "stale", "unknown", "false", "unavailable", "given up")}
	if d.public = d.all; len(reserved)+len(o.Several) > 0 {
		d.public = NewResolver(store, public)
	}
	return d
}

// All is the resolver that asks everybody.
func (d *Divided) All() *Resolver { return d.all }

// Find implements [ipfs.Names], as [Resolver.Find].
func (d *Divided) Find(ctx context.Context, moving string) (ipfs.Meaning, error) {
	m, err := d.asked(ctx).Find(ctx, moving)
	d.lookups.WithLabelValues(outcome(ctx, m, err)).Inc()
	return m, err
}

// asked is the resolver that asks whom ctx says.
func (d *Divided) asked(ctx context.Context) *Resolver {
	switch ipfs.MayBeAsked(ctx) {
	case ipfs.AskNobody:
		return d.here
	case ipfs.AskPublic:
		return d.public
	case ipfs.AskAll:
	}
	return d.all
}

// Listed implements [ipfs.Names].
func (d *Divided) Listed(domain string) bool { return d.all.Listed(domain) }

// Close ends what is under way and waits for it.
func (d *Divided) Close() error {
	var others error
	if d.public != d.all {
		others = d.public.Close()
	}
	return errors.Join(d.all.Close(), others, d.here.Close())
}
