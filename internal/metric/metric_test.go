package metric

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// collector tells all of a set.
type collector struct {
	*Set
	count *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	c.List()[0].Tell(out, 3)
	c.List()[1].Tell(out, 4, "x")
	c.count.Collect(out)
	c.took.Collect(out)
}

// What is told has the type, the labels and the words that were declared.
func TestDeclared(t *testing.T) {
	var s Set
	s.Gauge("now_bytes", "Now.")
	s.Counter("things_total", "Things.", "kind")
	c := collector{&s, s.Counter("others_total", "Others.", "kind").Counters("x"), s.Histogram("took_seconds", "How long.").Histograms(1, 2)}
	c.took.WithLabelValues().Observe(1)
	registry := prometheus.NewPedanticRegistry() // refuses what was not described
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]Type{}
	for _, f := range families {
		told[f.GetName()] = map[string]Type{"COUNTER": TypeCounter, "GAUGE": TypeGauge, "HISTOGRAM": TypeHistogram}[f.GetType().String()]
	}
	for _, m := range s.List() {
		if told[m.Name] != m.Type {
			t.Errorf("%s is told as %q, declared as %q", m.Name, told[m.Name], m.Type)
		}
	}
	if len(told) != len(s.List()) {
		t.Errorf("told are %v", told)
	}
}

func TestUnit(t *testing.T) {
	for name, want := range map[string]string{
		"a_bytes": "bytes", "a_bytes_total": "bytes", "a_seconds": "seconds", "a_timestamp_seconds": "Unix seconds", "a_total": "", "a": "",
	} {
		if got := (&Metric{Name: name}).Unit(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
