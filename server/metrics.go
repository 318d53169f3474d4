package server

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/image2ipfs/image2ipfs/internal/metric"
)

// metrics are what /metrics tells and is counted as it happens; [state] is asked. No
// label has a value that a client chooses, so that their number is bounded.
type metrics struct {
	handler      http.Handler
	state        *state
	requests     *prometheus.CounterVec
	sent         *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	reloads      *prometheus.CounterVec
	manifests    *prometheus.CounterVec
	pushed       *prometheus.CounterVec
	recompressed *prometheus.CounterVec
	moved        *prometheus.CounterVec
}

// declared are those of this package.
var declared metric.Set

// What is counted as it happens.
var (
	metricRequests = declared.Counter("http_requests_total",
		"Requests answered, by endpoint, method and HTTP status; status 0 was cut before it had one, or its client had gone.", "endpoint", "method", "status")
	metricSent = declared.Counter("http_response_bytes_total",
		"Bytes of bodies sent, by endpoint and where they came from.", "endpoint", "source")
	metricDuration = declared.Histogram("http_request_duration_seconds",
		"Time from the request to the end of the answer.", "endpoint")
	metricReloads = declared.Counter("config_reloads_total",
		"Times at which settings were read again, by what came of it: applied or refused.", "result")
	metricManifests = declared.Counter("push_manifests_total",
		"Manifests that were pushed, by what came of it: taken or refused.", "result")
	metricPushed = declared.Counter("push_new_bytes_total",
		"Bytes of pushed images that the own store did not have before.")
	metricRecompressed = declared.Counter("push_recompressed_total",
		"Pushed images that were to be recompressed, by what came of it: made, same or failed.", "result")
	metricMoved = declared.Counter("push_names_moved_total",
		"Names that were to move with a push, by what came of it: moved or failed.", "result")
)

// Metrics lists what /metrics tells of a server, Config.Collectors apart.
func Metrics() []*metric.Metric { return declared.List() }

func newMetrics(s *Server) *metrics {
	m := &metrics{
		requests: metricRequests.Counters(), sent: metricSent.Counters(),
		duration: metricDuration.Histograms(.001, .005, .025, .1, .5, 2.5, 10, 60, 600),
		reloads:  metricReloads.Counters("applied", "refused"), manifests: metricManifests.Counters("taken", "refused"),
		pushed: metricPushed.Counters(), recompressed: metricRecompressed.Counters("made", "same", "failed"), moved: metricMoved.Counters("moved", "failed"),
	}
	registry := prometheus.NewRegistry()
	counted := []prometheus.Collector{m.requests, m.sent, m.duration, m.reloads, s.foreign.asked.blocks, s.foreign.asked.bytes, s.foreign.asked.took}
	if s.cfg.Pushed != nil {
		counted = append(counted, m.manifests, m.pushed, m.recompressed, m.moved, s.uploads.ended)
	}
	m.state = &state{s: s, counted: counted}
	registry.MustRegister(m.state, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(s.cfg.Collectors...)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, DisableCompression: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})
	return m
}

// outcome is one of two results of an error.
func outcome(err error, good, bad string) string {
	if err != nil {
		return bad
	}
	return good
}

// count notes an answered request.
func (m *metrics) count(w *response, r *http.Request, took time.Duration) {
	at, method, source := endpoint(r.URL.Path), r.Method, w.source
	if method != http.MethodGet && method != http.MethodHead {
		method = "other"
	}
	if source == "" {
		source = "none"
	}
	m.requests.WithLabelValues(at, method, strconv.Itoa(w.status)).Inc()
	m.sent.WithLabelValues(at, source).Add(float64(w.bytes))
	m.duration.WithLabelValues(at).Observe(took.Seconds())
}

// endpoint is the kind of a path.
func endpoint(path string) string {
	switch {
	case path == "/healthz" || path == "/metrics":
		return path[1:]
	case path == "/":
		return "page"
	case path == "/v2" || path == "/v2/":
		return "base"
	case strings.HasPrefix(path, "/ipfs/"):
		return "ipfs"
	case isRegistryPath(path):
		if kind, _, _, ok := splitRoute(path); ok {
			return kind
		}
	}
	return "other"
}
