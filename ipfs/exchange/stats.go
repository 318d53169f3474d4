package exchange

import (
	"slices"
	"strings"
)

// PeerStats is what was exchanged with one peer since the start.
type PeerStats struct {
	ID        string `json:"id"`
	BlocksIn  int64  `json:"blocksIn"`
	BytesIn   int64  `json:"bytesIn"` // of blocks, without the protocol's own
	BlocksOut int64  `json:"blocksOut"`
	BytesOut  int64  `json:"bytesOut"`
}

// Stats is what an Exchange has done and is doing.
type Stats struct {
	Peers  []PeerStats `json:"peers"`  // by ID; only those that had or gave any block
	Others PeerStats   `json:"others"` // what came by [Network.Blocks]
	Files  int         `json:"files"`  // that are being fetched
}

// Stats tells what was done so far.
func (x *Exchange) Stats() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := Stats{Others: x.others.traffic, Peers: []PeerStats{}}
	for _, p := range x.peers {
		if t := p.traffic; t.BlocksIn > 0 || t.BlocksOut > 0 {
			s.Peers = append(s.Peers, t)
		}
	}
	for _, j := range x.queue {
		if !j.complete() {
			s.Files++
		}
	}
	slices.SortFunc(s.Peers, func(a, b PeerStats) int { return strings.Compare(a.ID, b.ID) })
	return s
}
