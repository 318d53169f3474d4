// Package metrictest compares what a collector tells with what is declared.
package metrictest

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/metric"
)

// Complete fails unless a collector tells all that is declared, and nothing else, each with
// the type, the labels and the words that were declared.
func Complete(t *testing.T, c prometheus.Collector, declared []*metric.Metric) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry() // refuses what does not fit its description
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, f := range families {
		told[f.GetName()] = true
		i := slices.IndexFunc(declared, func(m *metric.Metric) bool { return m.Name == f.GetName() })
		if i < 0 {
			t.Errorf("%s is told and not declared", f.GetName())
			continue
		}
		m := declared[i]
		if got := strings.ToLower(f.GetType().String()); got != string(m.Type) {
			t.Errorf("%s is told as a %s, declared as a %s", m.Name, got, m.Type)
		}
		if f.GetHelp() != m.Help {
			t.Errorf("%s is told to be %q, declared as %q", m.Name, f.GetHelp(), m.Help)
		}
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if want := slices.Sorted(slices.Values(m.Labels)); !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %q, declared are %q", m.Name, labels, want)
		}
	}
	for _, m := range declared {
		if !told[m.Name] {
			t.Errorf("%s is declared and not told", m.Name)
		}
	}
}
