package names

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/metric"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// declared are the metrics of this package. None has a label for single names that are
// asked for: their number is not bounded.
var declared metric.Set

var (
	metricLookups = declared.Counter("name_lookups_total",
		"Times at which it was asked what a name means that moves, by what came of it: fresh, stale (nobody has told of it since), unknown, false, unavailable or given up.", "result")
	metricSent = declared.Counter("name_records_sent_total",
		"Records of own names that were sent to those who keep them, by what came of it: taken or failed.", "result")
	metricNames = declared.Gauge("names",
		"Names whose keys are in the own store, by state: published, failing (somebody was not told), stopped (moved by another machine, or its record cannot be read), unused (never moved) or damaged.", "state")
	metricExpiry = declared.Gauge("names_first_expiry_timestamp_seconds",
		"When the first of the records of own names ends that are published again.")
)

// Metrics lists what [Collector] tells.
func Metrics() []*metric.Metric { return declared.List() }

// Collector tells of what is asked and of what is published.
func Collector(d *Divided, p *Publisher) prometheus.Collector { return collector{&declared, d, p} }

type collector struct {
	*metric.Set
	d *Divided
	p *Publisher
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	c.d.lookups.Collect(out)
	c.p.results.Collect(out)
	c.p.mu.Lock()
	last := c.p.last
	c.p.mu.Unlock()
	for _, state := range []string{statePublished, stateFailing, stateStopped, stateUnused, stateDamaged} {
		metricNames.Tell(out, float64(last.names[state]), state)
	}
	if !last.expiry.IsZero() {
		metricExpiry.Tell(out, float64(last.expiry.Unix()))
	}
}

// outcome is what came of asking for a name.
func outcome(ctx context.Context, m ipfs.Meaning, err error) string {
	switch {
	case err == nil && m.Stale == nil:
		return "fresh"
	case err == nil:
		return "stale"
	case ctx.Err() != nil:
		return "given up"
	case errors.Is(err, ipfs.ErrNotFound):
		return "unknown"
	case errors.Is(err, ipfs.ErrCorrupt):
		return "false"
	}
	return "unavailable"
}

// turn is what one look at all keys has found.
type turn struct {
	names  map[string]int // by state
	expiry time.Time      // the first; zero for none
}

// States of names whose keys are here.
const (
	statePublished = "published"
	stateFailing   = "failing"
	stateStopped   = "stopped"
	stateUnused    = "unused"
	stateDamaged   = "damaged"
)

// add counts a name that can be read.
func (t *turn) add(l loaded, failing bool) {
	switch {
	case len(l.Mine) == 0:
		t.names[stateUnused]++
		return
	case failing:
		t.names[stateFailing]++
	default:
		t.names[statePublished]++
	}
	if t.expiry.IsZero() || l.mine.Until.Before(t.expiry) {
		t.expiry = l.mine.Until
	}
}
