// Package metric declares what /metrics tells: each metric once, with its type, labels
// and meaning, from which it is collected, and listed in docs.
package metric

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// namespace begins the name of every metric.
const namespace = "image2ipfs_"

// Type is what a metric is in Prometheus' text format, "# TYPE".
type Type string

// Types that are in use.
const (
	TypeCounter   Type = "counter"
	TypeGauge     Type = "gauge"
	TypeHistogram Type = "histogram"
)

// Metric is one that is declared.
type Metric struct {
	Name   string
	Type   Type
	Help   string   // one sentence or several, without a line break
	Labels []string // none of them has a value that a client chooses
	desc   *prometheus.Desc
}

// Unit is what it counts in, by the end of its name (Prometheus, "Metric and label
// naming"): seconds, bytes, Unix seconds, or "" for a number of things.
func (m *Metric) Unit() string {
	name := strings.TrimSuffix(m.Name, "_total")
	for _, unit := range [][2]string{{"_timestamp_seconds", "Unix seconds"}, {"_seconds", "seconds"}, {"_bytes", "bytes"}} {
		if strings.HasSuffix(name, unit[0]) {
			return unit[1]
		}
	}
	return ""
}

// Tell gives a collector's channel the value of a counter or gauge. It panics when the
// labels are not as many as were declared, as the library does.
func (m *Metric) Tell(out chan<- prometheus.Metric, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if m.Type == TypeCounter {
		kind = prometheus.CounterValue
	}
	out <- prometheus.MustNewConstMetric(m.desc, kind, value, labels...)
}

// Counters makes the counters of a metric, by the values of its labels. Those of which its
// only label has one of begun are 0 from the start, so that the first one is seen to be
// one more.
func (m *Metric) Counters(begun ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
	for _, value := range begun {
		vec.WithLabelValues(value)
	}
	if len(m.Labels) == 0 {
		vec.WithLabelValues()
	}
	return vec
}

// Histograms makes the histograms of a metric, by the values of its labels.
func (m *Metric) Histograms(buckets ...float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: buckets}, m.Labels)
}

// Set are the metrics that a package declares, in this order. It is not to be changed
// once the package is initialized.
type Set struct{ all []*Metric }

// Counter declares one that only grows. Its name is without the "image2ipfs_" that all have.
func (s *Set) Counter(name, help string, labels ...string) *Metric {
	return s.declare(name, TypeCounter, help, labels)
}

// Gauge declares one that grows and falls.
func (s *Set) Gauge(name, help string, labels ...string) *Metric {
	return s.declare(name, TypeGauge, help, labels)
}

// Histogram declares one of how often values of some size came.
func (s *Set) Histogram(name, help string, labels ...string) *Metric {
	return s.declare(name, TypeHistogram, help, labels)
}

func (s *Set) declare(name string, kind Type, help string, labels []string) *Metric {
	m := &Metric{Name: namespace + name, Type: kind, Help: help, Labels: labels}
	m.desc = prometheus.NewDesc(m.Name, help, labels, nil)
	s.all = append(s.all, m)
	return m
}

// Describe is that of a [prometheus.Collector] of all of them.
func (s *Set) Describe(out chan<- *prometheus.Desc) {
	for _, m := range s.all {
		out <- m.desc
	}
}

// List gives them in the order in which they were declared.
func (s *Set) List() []*Metric { return slices.Clone(s.all) }
