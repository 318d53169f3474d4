package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
)

// Stored is what a store keeps.
type Stored struct {
	Roots int   // published
	Bytes int64 // of their blobs, those that several roots share counted for each
}

// Scrubbed is how far the reading of a store in the background is.
type Scrubbed struct {
	Bytes   int64     // read since it began
	Packs   int64     // files read whole since it began
	Damaged int       // files in which damage was found when they were read last
	Oldest  time.Time // when the file was read or written for which that is longest ago; zero when one never was
}

// Collected is what was freed of a store in the background.
type Collected struct {
	Runs, Failures int64     // collections, and those among them that failed
	Removed        int64     // images that were taken away
	Freed          int64     // bytes
	Over           int64     // bytes by which the store was over its limit after the last
	Last           time.Time // when the last ended well; zero for never
}

// metrics are what /metrics tells. No label has a value that a client chooses,
// so that their number is bounded.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec   // by endpoint, method and status
	sent     *prometheus.CounterVec   // bytes, by endpoint and source
	duration *prometheus.HistogramVec // by endpoint
	running  prometheus.Gauge
	reloads  *prometheus.CounterVec // by result
}

const namespace = "image2ipfs"

func newMetrics(s *Server) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "http_requests_total",
			Help: "Requests answered, by endpoint, method and HTTP status; status 0 was cut before it had one."}, []string{"endpoint", "method", "status"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "http_response_bytes_total",
			Help: "Bytes of bodies sent, by endpoint and where they came from."}, []string{"endpoint", "source"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "http_request_duration_seconds",
			Help: "Time from the request to the end of the answer.", Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60, 600}}, []string{"endpoint"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "http_requests_in_flight",
			Help: "Requests being answered."}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "config_reloads_total",
			Help: "Times at which settings were read again, by what came of it: applied or refused."}, []string{"result"}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.sent, m.duration, m.running, m.reloads, s.foreign.asked.blocks, s.foreign.asked.bytes,
		&state{s: s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(s.cfg.Collectors...)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, DisableCompression: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})
	return m
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

// sourceMetrics count what gateways and nodes are asked for.
type sourceMetrics struct {
	blocks *prometheus.CounterVec // by source and result
	bytes  *prometheus.CounterVec // by source
}

func newSourceMetrics() *sourceMetrics {
	return &sourceMetrics{
		blocks: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "source_blocks_total",
			Help: "Blocks asked of each source, by what came of it: found, missing, false, unavailable or given up."}, []string{"source", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "source_bytes_total",
			Help: "Bytes of blocks that each source gave, true or false."}, []string{"source"}),
	}
}

// wrap counts what g is asked for.
func (m *sourceMetrics) wrap(g ipfs.Getter) ipfs.Getter {
	name := "an IPFS node"
	if named, ok := g.(fmt.Stringer); ok {
		name = named.String()
	}
	counted := &countedSource{g, name, m}
	if fetcher, ok := g.(sources.Fetcher); ok {
		return &countedFetcher{counted, fetcher}
	}
	return counted
}

// countedFetcher is a source that gets whole DAGs ahead.
type countedFetcher struct {
	*countedSource
	fetcher sources.Fetcher
}

// Fetch implements [sources.Fetcher].
func (c *countedFetcher) Fetch(root cid.Cid) (ipfs.Getter, func()) {
	g, release := c.fetcher.Fetch(root)
	return &countedSource{g, c.name, c.m}, release
}

type countedSource struct {
	ipfs.Getter
	name string
	m    *sourceMetrics
}

func (c *countedSource) String() string { return c.name }

func (c *countedSource) Get(ctx context.Context, id cid.Cid) ([]byte, error) {
	data, err := c.Getter.Get(ctx, id)
	result := "found"
	switch {
	case err == nil:
	case errors.Is(err, ipfs.ErrNotFound):
		result = "missing"
	case errors.Is(err, ipfs.ErrCorrupt):
		result = "false"
	case ctx.Err() != nil:
		result = "given up"
	default:
		result = "unavailable"
	}
	c.m.blocks.WithLabelValues(c.name, result).Inc()
	c.m.bytes.WithLabelValues(c.name).Add(float64(len(data)))
	return data, err
}

// state collects what is true at the moment: caches, sources and the store.
type state struct {
	s      *Server
	mu     sync.Mutex
	stored Stored
	known  bool
	asked  time.Time
}

var (
	cacheBytes   = describeMetric("cache_bytes", "Memory that a cache takes, roughly.", "cache")
	cacheEntries = describeMetric("cache_entries", "Entries in a cache.", "cache")
	cacheAsked   = describeMetric("cache_requests_total", "Look-ups in a cache, by result.", "cache", "result")
	sourceUp     = describeMetric("source_up", "1 if a source is asked, 0 while it recovers or after it lied.", "source")
	storeRoots   = describeMetric("store_roots", "Images and sets of images that the own store keeps.")
	storeBytes   = describeMetric("store_blob_bytes", "Bytes of the blobs of these, each counted.")
	scrubBytes   = describeMetric("scrub_bytes_total", "Bytes of the own store read in the background.")
	scrubPacks   = describeMetric("scrub_packs_total", "Files of the own store read whole in the background, and found right.")
	scrubDamaged = describeMetric("scrub_damaged_packs", "Files of the own store in which damage was found when they were read last.")
	gcRuns       = describeMetric("gc_runs_total", "Times at which the own store was freed in the background of what nobody needs.")
	gcFailures   = describeMetric("gc_failures_total", "Those of these that failed.")
	gcRemoved    = describeMetric("gc_removed_images_total", "Images that were taken away then: pushed, without a name and not pulled.")
	gcFreed      = describeMetric("gc_freed_bytes_total", "Bytes on disk that were freed then, those of the cache among them.")
	gcOver       = describeMetric("gc_over_limit_bytes", "Bytes by which the own store was larger than its limit after the last.")
	gcLast       = describeMetric("gc_last_success_timestamp_seconds", "When the last ended well.")
	scrubOldest  = describeMetric("scrub_oldest_timestamp_seconds", "When the file of the own store was read for which that is longest ago.")
)

func describeMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *state) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cacheBytes, cacheEntries, cacheAsked, sourceUp, storeRoots, storeBytes, scrubBytes, scrubPacks, scrubDamaged, scrubOldest, gcRuns, gcFailures, gcRemoved, gcFreed, gcOver, gcLast} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *state) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for name, u := range map[string]budget.Usage{
		"layouts": c.s.roots.opened.Usage(), "manifests": c.s.manifests.kept.Usage(),
		"blocks": c.s.foreign.blocks.Usage(),
	} {
		gauge(cacheBytes, float64(u.Cost), name)
		gauge(cacheEntries, float64(u.Entries), name)
		out <- prometheus.MustNewConstMetric(cacheAsked, prometheus.CounterValue, float64(u.Hits), name, "hit")
		out <- prometheus.MustNewConstMetric(cacheAsked, prometheus.CounterValue, float64(u.Misses), name, "miss")
	}
	seen := map[string]bool{}
	for _, from := range c.s.foreign.Sources() {
		if seen[from.String()] { // one given twice: a metric may occur once only
			continue
		}
		seen[from.String()] = true
		up := 0.0
		if from.Up() {
			up = 1
		}
		gauge(sourceUp, up, from.String())
	}
	if stored, ok := c.store(); ok {
		gauge(storeRoots, float64(stored.Roots))
		gauge(storeBytes, float64(stored.Bytes))
	}
	c.scrubbed(out)
	c.collected(out)
}

// collected tells of the freeing of the store in the background.
func (c *state) collected(out chan<- prometheus.Metric) {
	if c.s.cfg.Collected == nil {
		return
	}
	told := c.s.cfg.Collected()
	for d, n := range map[*prometheus.Desc]int64{gcRuns: told.Runs, gcFailures: told.Failures, gcRemoved: told.Removed, gcFreed: told.Freed} {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	out <- prometheus.MustNewConstMetric(gcOver, prometheus.GaugeValue, float64(told.Over))
	if !told.Last.IsZero() {
		out <- prometheus.MustNewConstMetric(gcLast, prometheus.GaugeValue, float64(told.Last.UnixMilli())/1000)
	}
}

// scrubbed tells of the reading of the store in the background.
func (c *state) scrubbed(out chan<- prometheus.Metric) {
	if c.s.cfg.Scrubbed == nil {
		return
	}
	told := c.s.cfg.Scrubbed()
	out <- prometheus.MustNewConstMetric(scrubBytes, prometheus.CounterValue, float64(told.Bytes))
	out <- prometheus.MustNewConstMetric(scrubPacks, prometheus.CounterValue, float64(told.Packs))
	out <- prometheus.MustNewConstMetric(scrubDamaged, prometheus.GaugeValue, float64(told.Damaged))
	if !told.Oldest.IsZero() {
		out <- prometheus.MustNewConstMetric(scrubOldest, prometheus.GaugeValue, float64(told.Oldest.UnixMilli())/1000)
	}
}

// storeAge is how long a look at the store is good for.
const storeAge = 10 * time.Second

// store tells what the store keeps, at most storeAge ago.
func (c *state) store() (Stored, bool) {
	if c.s.cfg.Stored == nil {
		return Stored{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) > storeAge {
		ctx, cancel := context.WithTimeout(c.s.life.ctx, c.s.cfg.Limits.Probe)
		defer cancel()
		stored, err := c.s.cfg.Stored(ctx)
		if err != nil {
			c.s.log.Warn("what the store keeps cannot be told", "error", err)
		}
		c.stored, c.known, c.asked = stored, err == nil, time.Now()
	}
	return c.stored, c.known
}
