package network

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// metrics tell a server of the traffic with peers, never of single peers:
// their number is not bounded.
type metrics struct{ n *Network }

var (
	peersConnected = prometheus.NewDesc("image2ipfs_peers", "Peers that are connected.", nil, nil)
	peersFetching  = prometheus.NewDesc("image2ipfs_peer_files", "Files that are being fetched from peers.", nil, nil)
	peersBlocks    = prometheus.NewDesc("image2ipfs_peer_blocks_total", "Blocks got from and given to peers, by their protocol.", []string{"protocol", "direction"}, nil)
	peersBytes     = prometheus.NewDesc("image2ipfs_peer_bytes_total", "Bytes of these.", []string{"protocol", "direction"}, nil)
)

// Describe implements prometheus.Collector.
func (metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{peersConnected, peersFetching, peersBlocks, peersBytes} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What is given by bitswap is not known.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	s := m.n.exchange.Stats()
	out <- prometheus.MustNewConstMetric(peersConnected, prometheus.GaugeValue, float64(len(m.n.node.Connected())))
	out <- prometheus.MustNewConstMetric(peersFetching, prometheus.GaugeValue, float64(s.Files))
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(peersBlocks, s.Total.BlocksIn, "image2ipfs", "in")
	count(peersBlocks, s.Total.BlocksOut, "image2ipfs", "out")
	count(peersBlocks, s.Others.BlocksIn, "bitswap", "in")
	count(peersBytes, s.Total.BytesIn, "image2ipfs", "in")
	count(peersBytes, s.Total.BytesOut, "image2ipfs", "out")
	count(peersBytes, s.Others.BytesIn, "bitswap", "in")
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
