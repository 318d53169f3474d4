package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
)

// sourceMetrics count what gateways and nodes are asked for.
type sourceMetrics struct {
	blocks *prometheus.CounterVec // by source and result
	bytes  *prometheus.CounterVec // by source
	took   *prometheus.HistogramVec
}

var (
	metricSourceBlocks = declared.Counter("source_blocks_total",
		"Blocks asked of each source, by what came of it: found, missing, false, unavailable or given up.", "source", "result")
	metricSourceBytes = declared.Counter("source_bytes_total",
		"Bytes of blocks that each source gave, true or false.", "source")
	metricSourceTook = declared.Histogram("source_block_duration_seconds",
		"Time in which each source gave a block, or said that it has none; not that of those who failed.", "source")
)

func newSourceMetrics() *sourceMetrics {
	return &sourceMetrics{
		blocks: metricSourceBlocks.Counters(), bytes: metricSourceBytes.Counters(),
		took: metricSourceTook.Histograms(.001, .005, .025, .1, .5, 2.5, 10),
	}
}

// wrap counts what g is asked for.
func (m *sourceMetrics) wrap(g ipfs.Getter) ipfs.Getter {
	name := "an IPFS node"
	if named, ok := g.(fmt.Stringer); ok {
		name = named.String()
	}
	for _, result := range []string{"found", "missing", "false", "unavailable", "given up"} {
		m.blocks.WithLabelValues(name, result)
	}
	m.bytes.WithLabelValues(name)
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

// Checked implements [ipfs.Checked] where the source does.
func (c *countedSource) Checked(id cid.Cid) bool { return ipfs.IsChecked(c.Getter, id) }

func (c *countedSource) Get(ctx context.Context, id cid.Cid) ([]byte, error) {
	begun := time.Now()
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
	if err == nil || result == "missing" {
		c.m.took.WithLabelValues(c.name).Observe(time.Since(begun).Seconds())
	}
	c.m.bytes.WithLabelValues(c.name).Add(float64(len(data)))
	return data, err
}
