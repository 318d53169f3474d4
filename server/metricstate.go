package server

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/diskspace"
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
	Removed        int64     // images and manifests that were taken away
	Freed          int64     // bytes
	Over           int64     // bytes by which the store was over its limit after the last
	Limit          int64     // bytes that the store and its cache may take; 0 for any number
	Last           time.Time // when the last ended well; zero for never
}

// state collects what is true at the moment: limits, caches, sources and the store.
type state struct {
	s       *Server
	counted []prometheus.Collector // what is counted as it happens
	mu      sync.Mutex
	stored  Stored
	known   bool
	asked   time.Time
}

var (
	metricBuild   = declared.Gauge("build_info", "1, with the version of the program and of the Go that built it.", "version", "goversion")
	metricRunning = declared.Gauge("http_requests_in_flight", "Requests being answered.")

	metricConns        = declared.Gauge("connections", "Connections that are open, by what the address is for.", "listener")
	metricConnsIdle    = declared.Gauge("connections_idle", "Those of these without a request.", "listener")
	metricConnsWaiting = declared.Gauge("connections_waiting", "Connections that wait until there is room.", "listener")
	metricConnsMax     = declared.Gauge("connections_limit", "Connections that may be open.", "listener")
	metricConnsClosed  = declared.Counter("connections_closed_total", "Connections that were closed to make room for others.", "listener")
	metricConnsRefused = declared.Counter("connections_refused_total", "Connections that were closed at once, since too many waited.", "listener")

	metricMemory        = declared.Gauge("memory_limit_bytes", "Memory that the process may take (--memory).")
	metricMemoryHeld    = declared.Gauge("memory_held_bytes", "Memory that is held for clients and peers, by what for.", "share")
	metricMemoryShare   = declared.Gauge("memory_share_limit_bytes", "Memory that may be held, by what for; together less than their sum.", "share")
	metricMemoryWaiting = declared.Gauge("memory_waiting", "Requests that wait for memory, by what for.", "share")
	metricMemoryRefused = declared.Counter("memory_refused_total", "Requests that got no memory in time, by what for.", "share")

	metricUploads      = declared.Gauge("uploads", "Blobs that are being pushed.")
	metricUploadsMax   = declared.Gauge("uploads_limit", "Blobs that may be pushed at once.")
	metricUploadsEnded = declared.Counter("uploads_total", "Blobs that were pushed, by how that ended: taken, refused, cancelled or expired.", "result")

	metricListeners    = declared.Gauge("page_listeners", "Browsers that are told of pushes as they come.")
	metricListenersMax = declared.Gauge("page_listeners_limit", "Browsers that may be.")

	metricEvents        = declared.Counter("events_total", "Events, by what came of it: delivered, repeated (not taken, and sent again) or lost.", "result")
	metricEventsWaiting = declared.Gauge("events_waiting", "Events that wait until those before them are taken.")
	metricEventsMax     = declared.Gauge("events_waiting_limit", "Events that may wait; more are lost.")

	metricCacheBytes   = declared.Gauge("cache_bytes", "Memory that a cache takes, roughly.", "cache")
	metricCacheMax     = declared.Gauge("cache_limit_bytes", "Memory that it may take.", "cache")
	metricCacheEntries = declared.Gauge("cache_entries", "Entries in a cache.", "cache")
	metricCacheAsked   = declared.Counter("cache_requests_total", "Look-ups in a cache, by result: hit or miss.", "cache", "result")

	metricSourceUp = declared.Gauge("source_up", "1 if a source is asked, 0 while it recovers or after it lied.", "source")

	metricStoreUp    = declared.Gauge("store_up", "1 if the own store is where it was, 0 if it is gone.")
	metricStoreRoots = declared.Gauge("store_roots", "Images and sets of images that the own store keeps.")
	metricStoreBlobs = declared.Gauge("store_blob_bytes", "Bytes of the blobs of these, each counted.")
	metricStoreDisk  = declared.Gauge("store_disk_bytes", "Bytes that the own store takes on disk, without its cache.")
	metricStoreCache = declared.Gauge("store_cache_bytes", "Bytes that the own store's cache of what came from peers takes on disk.")
	metricStoreFree  = declared.Gauge("store_free_bytes", "Bytes that may still be written on the own store's disk.")

	metricScrubBytes   = declared.Counter("scrub_bytes_total", "Bytes of the own store read in the background.")
	metricScrubPacks   = declared.Counter("scrub_packs_total", "Files of the own store read whole in the background, and found right.")
	metricScrubDamaged = declared.Gauge("scrub_damaged_packs", "Files of the own store in which damage was found when they were read last.")
	metricScrubOldest  = declared.Gauge("scrub_oldest_timestamp_seconds", "When the file of the own store was read for which that is longest ago.")

	metricGCRuns     = declared.Counter("gc_runs_total", "Times at which the own store was freed in the background of what nobody needs.")
	metricGCFailures = declared.Counter("gc_failures_total", "Those of these that failed.")
	metricGCRemoved  = declared.Counter("gc_removed_images_total", "Images, and manifests that no image has, that were taken away then: pushed, without a name and not pulled.")
	metricGCFreed    = declared.Counter("gc_freed_bytes_total", "Bytes on disk that were freed then, those of the cache among them.")
	metricGCLimit    = declared.Gauge("gc_limit_bytes", "Bytes that the own store and its cache may take (--gc-limit).")
	metricGCOver     = declared.Gauge("gc_over_limit_bytes", "Bytes by which the own store was larger than its limit after the last.")
	metricGCLast     = declared.Gauge("gc_last_success_timestamp_seconds", "When the last ended well.")
)

// Describe implements prometheus.Collector.
func (c *state) Describe(out chan<- *prometheus.Desc) { declared.Describe(out) }

// Collect implements prometheus.Collector.
func (c *state) Collect(out chan<- prometheus.Metric) {
	for _, counted := range c.counted {
		counted.Collect(out)
	}
	metricBuild.Tell(out, 1, c.s.cfg.Version, runtime.Version())
	metricRunning.Tell(out, float64(c.s.running.Load()))
	c.limits(out)
	c.pushes(out)
	c.caches(out)
	c.sources(out)
	c.kept(out)
	c.scrubbed(out)
	c.collected(out)
}

// limits tells how much is in use of what is bounded.
func (c *state) limits(out chan<- prometheus.Metric) {
	for name, conns := range c.s.listening.all() {
		u := conns.usage()
		metricConns.Tell(out, float64(u.open), name)
		metricConnsIdle.Tell(out, float64(u.idle), name)
		metricConnsWaiting.Tell(out, float64(u.waiting), name)
		metricConnsMax.Tell(out, float64(u.max), name)
		metricConnsClosed.Tell(out, float64(u.closed), name)
		metricConnsRefused.Tell(out, float64(u.refused), name)
	}
	metricMemory.Tell(out, float64(c.s.memory.Total()))
	for _, u := range c.s.memory.Given() {
		metricMemoryHeld.Tell(out, float64(u.Held), u.Name)
		metricMemoryShare.Tell(out, float64(u.Most), u.Name)
		metricMemoryWaiting.Tell(out, float64(u.Waiting), u.Name)
		metricMemoryRefused.Tell(out, float64(u.Refused), u.Name)
	}
	if c.s.page != nil {
		_, holders := c.s.listeners.Held()
		metricListeners.Tell(out, float64(holders))
		metricListenersMax.Tell(out, float64(c.s.listeners.Size()))
	}
}

// pushes tells of uploads and events.
func (c *state) pushes(out chan<- prometheus.Metric) {
	if c.s.cfg.Pushed != nil {
		metricUploads.Tell(out, float64(c.s.uploads.count()))
		metricUploadsMax.Tell(out, maxUploads)
	}
	if c.s.cfg.Events != nil {
		told := c.s.cfg.Events.lines.Stats()
		metricEvents.Tell(out, float64(told.Delivered), "delivered")
		metricEvents.Tell(out, float64(told.Repeated), "repeated")
		metricEvents.Tell(out, float64(told.Lost), "lost")
		metricEventsWaiting.Tell(out, float64(told.Waiting))
		metricEventsMax.Tell(out, float64(told.MostWaiting))
	}
}

// caches tells of all that are kept in memory.
func (c *state) caches(out chan<- prometheus.Metric) {
	all := map[string]budget.Usage{
		"layouts": c.s.roots.opened.Usage(), "failed look-ups": c.s.roots.failed.Usage(), "manifests": c.s.manifests.kept.Usage(),
		"blocks": c.s.foreign.blocks.Usage(), "sizes": c.s.old.sizes.Usage(), "whole blobs": c.s.whole.Usage(),
		"repositories advised": c.s.advised.Usage(),
	}
	if g := c.s.signatures; g.policy != nil {
		all["signatures"], all["signed roots"] = g.known.Usage(), g.whole.Usage()
	}
	if c.s.redirects != nil {
		all["redirects"], all["requests of late"] = c.s.redirects.known.Usage(), c.s.redirects.sent.last.Usage()
	}
	if c.s.page != nil {
		for name, u := range c.s.page.Caches() {
			all["page: "+name] = u
		}
	}
	for name, u := range all {
		metricCacheBytes.Tell(out, float64(u.Bytes), name)
		metricCacheMax.Tell(out, float64(u.Limit), name)
		metricCacheEntries.Tell(out, float64(u.Entries), name)
		metricCacheAsked.Tell(out, float64(u.Hits), name, "hit")
		metricCacheAsked.Tell(out, float64(u.Misses), name, "miss")
	}
}

// sources tells which are asked.
func (c *state) sources(out chan<- prometheus.Metric) {
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
		metricSourceUp.Tell(out, up, from.String())
	}
}

// kept tells of the own store. Of one that is gone it is not asked what it keeps: the
// place may be anybody's by now.
func (c *state) kept(out chan<- prometheus.Metric) {
	if c.s.cfg.Dir != "" {
		if c.s.present() != nil {
			metricStoreUp.Tell(out, 0)
			return
		}
		metricStoreUp.Tell(out, 1)
		if free, err := diskspace.Free(c.s.cfg.Dir); err == nil { // else it is not known
			metricStoreFree.Tell(out, float64(free))
		}
	}
	if stored, ok := c.store(); ok {
		metricStoreRoots.Tell(out, float64(stored.Roots))
		metricStoreBlobs.Tell(out, float64(stored.Bytes))
	}
	if c.s.cfg.Disk == nil {
		return
	}
	if disk, cache, err := c.s.cfg.Disk(); err == nil { // else it is not known
		metricStoreDisk.Tell(out, float64(disk))
		metricStoreCache.Tell(out, float64(cache))
	}
}

// collected tells of the freeing of the store in the background.
func (c *state) collected(out chan<- prometheus.Metric) {
	if c.s.cfg.Collected == nil {
		return
	}
	told := c.s.cfg.Collected()
	metricGCRuns.Tell(out, float64(told.Runs))
	metricGCFailures.Tell(out, float64(told.Failures))
	metricGCRemoved.Tell(out, float64(told.Removed))
	metricGCFreed.Tell(out, float64(told.Freed))
	metricGCOver.Tell(out, float64(told.Over))
	if told.Limit > 0 {
		metricGCLimit.Tell(out, float64(told.Limit))
	}
	if !told.Last.IsZero() {
		metricGCLast.Tell(out, float64(told.Last.UnixMilli())/1000)
	}
}

// scrubbed tells of the reading of the store in the background.
func (c *state) scrubbed(out chan<- prometheus.Metric) {
	if c.s.cfg.Scrubbed == nil {
		return
	}
	told := c.s.cfg.Scrubbed()
	metricScrubBytes.Tell(out, float64(told.Bytes))
	metricScrubPacks.Tell(out, float64(told.Packs))
	metricScrubDamaged.Tell(out, float64(told.Damaged))
	if !told.Oldest.IsZero() {
		metricScrubOldest.Tell(out, float64(told.Oldest.UnixMilli())/1000)
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
