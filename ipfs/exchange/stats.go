package exchange

import (
	"slices"
	"strings"
	"time"
)

// Traffic is what blocks went to and fro since the start. Bytes are those of the
// blocks, without what the protocol adds.
type Traffic struct {
	BlocksIn  int64 `json:"blocksIn"`
	BytesIn   int64 `json:"bytesIn"`
	BlocksOut int64 `json:"blocksOut"`
	BytesOut  int64 `json:"bytesOut"`
}

// in counts a block that came from a peer; x.mu is held.
func (x *Exchange) in(p *peer, bytes int) {
	total := &x.total
	if p == x.others {
		total = &Traffic{} // counted with the peer alone
	}
	for _, t := range []*Traffic{&p.traffic, total} {
		t.BlocksIn++
		t.BytesIn += int64(bytes)
	}
}

// out counts what a peer was given.
func (x *Exchange) out(id string, blocks, bytes int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range []*Traffic{&x.peer(id).traffic, &x.total} {
		t.BlocksOut += int64(blocks)
		t.BytesOut += int64(bytes)
	}
}

// PeerTraffic is the traffic with one peer.
type PeerTraffic struct {
	ID string `json:"id"`
	Traffic
}

// Stats is what an Exchange has done and is doing.
type Stats struct {
	Peers  []PeerTraffic // by ID; only those with any traffic, and not those long gone
	Total  Traffic       // with all peers, also those long gone
	Others Traffic       // what came by [Network.Blocks]
	Files  int           // that are being fetched
	False  int64         // answers with a false block
	Failed int64         // requests that failed otherwise
	Banned int           // peers that are not asked for a while since they sent such a block
}

// Stats tells what was done so far.
func (x *Exchange) Stats() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := Stats{Total: x.total, Others: x.others.traffic, False: x.falseAnswers, Failed: x.failed}
	now := time.Now()
	for _, p := range x.peers {
		if now.Before(p.banned) {
			s.Banned++
		}
		if p.traffic != (Traffic{}) {
			s.Peers = append(s.Peers, PeerTraffic{p.id, p.traffic})
		}
	}
	for _, j := range x.queue {
		if !j.complete() {
			s.Files++
		}
	}
	slices.SortFunc(s.Peers, func(a, b PeerTraffic) int { return strings.Compare(a.ID, b.ID) })
	return s
}
