package network

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/metric"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// declared are the metrics of this package, which tell of the traffic with peers, never of
// single peers: their number is not bounded.
var declared metric.Set

var (
	metricPeers    = declared.Gauge("peers", "Peers that are connected.")
	metricFetching = declared.Gauge("peer_files", "Files that are being fetched from peers.")
	metricBanned   = declared.Gauge("peers_banned", "Peers that are not asked since they sent a false block.")
	metricFalse    = declared.Counter("peer_false_answers_total", "Answers of peers with a false block, or one that nobody asked for.")
	metricFailed   = declared.Counter("peer_failed_requests_total", "Requests to peers that failed otherwise: broken off, too slow or busy.")
	metricBlocks   = declared.Counter("peer_blocks_total", "Blocks got from and given to peers, by their protocol; what is given by bitswap is not known.", "protocol", "direction")
	metricBytes    = declared.Counter("peer_bytes_total", "Bytes of these.", "protocol", "direction")
	metricCacheMax = declared.Gauge("store_cache_limit_bytes", "Bytes that the cache of what came from peers may take on disk (--cache-size).")
)

// Metrics lists what [Network.Metrics] tells.
func Metrics() []*metric.Metric { return declared.List() }

// metrics are those of a network.
type metrics struct {
	*metric.Set
	n *Network
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	s := m.n.exchange.Stats()
	metricPeers.Tell(out, float64(len(m.n.node.Connected())))
	metricFetching.Tell(out, float64(s.Files))
	metricBanned.Tell(out, float64(s.Banned))
	metricFalse.Tell(out, float64(s.False))
	metricFailed.Tell(out, float64(s.Failed))
	for _, t := range []struct {
		protocol, direction string
		blocks, bytes       int64
	}{
		{"image2ipfs", "in", s.Total.BlocksIn, s.Total.BytesIn},
		{"image2ipfs", "out", s.Total.BlocksOut, s.Total.BytesOut},
		{"bitswap", "in", s.Others.BlocksIn, s.Others.BytesIn},
	} {
		metricBlocks.Tell(out, float64(t.blocks), t.protocol, t.direction)
		metricBytes.Tell(out, float64(t.bytes), t.protocol, t.direction)
	}
	metricCacheMax.Tell(out, float64(m.n.cacheMax))
}

// Peer is a connected peer and what was exchanged with it.
type Peer struct {
	p2p.PeerInfo
	exchange.Traffic
}

// Connected lists the connected peers by ID.
func (n *Network) Connected() []Peer {
	traffic := map[string]exchange.Traffic{}
	for _, t := range n.exchange.Stats().Peers {
		traffic[t.ID] = t.Traffic
	}
	peers := []Peer{}
	for _, p := range n.node.Connected() {
		peers = append(peers, Peer{p, traffic[p.ID]})
	}
	return peers
}
