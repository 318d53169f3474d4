package names

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/image2ipfs/image2ipfs/internal/metric/metrictest"
)

// Metrics tell how many names are published, and of which nobody is told any more.
func TestMetrics(t *testing.T) {
	s := newStore(t)
	k := created(t, s)
	unused, err := s.Create("unused")
	if err != nil {
		t.Fatal(err)
	}
	network := &place{name: "network"}
	p := publisher(t, s, network)
	r, err := move(t, p, k, value(0), Move{})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDivided(s, Options{})
	defer d.Close()
	if _, err := d.Find(t.Context(), k.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Find(t.Context(), unused.Name); err == nil {
		t.Error("a name that was never moved means something")
	}
	taken := p.results.WithLabelValues("taken")
	untilTurn(t, p, func(last turn) bool { // a turn ends before what it sends is taken
		return last.names[statePublished] == 1 && last.names[stateUnused] == 1 && testutil.ToFloat64(taken) > 0
	})
	c := Collector(d, p)
	metrictest.Complete(t, c, Metrics())
	if p.last.expiry.Unix() != r.Until.Unix() {
		t.Errorf("the first expires at %s, told is %s", r.Until, p.last.expiry)
	}
	if n := testutil.ToFloat64(d.lookups.WithLabelValues("fresh")) + testutil.ToFloat64(d.lookups.WithLabelValues("stale")); n != 1 {
		t.Errorf("%g found", n)
	}
	if n := testutil.ToFloat64(taken); n != 1 {
		t.Errorf("%g records were taken, want 1", n)
	}
	if err := os.WriteFile(s.keyFile(unused.Alias), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	untilTurn(t, p, func(last turn) bool { return last.names[stateDamaged] == 1 })
}

// untilTurn has names published again until the last look at them found what is wanted.
func untilTurn(t *testing.T, p *Publisher, found func(turn) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer p.Start(ctx)()
	for {
		p.mu.Lock()
		last := p.last
		p.mu.Unlock()
		if found(last) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("found %+v", last)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
