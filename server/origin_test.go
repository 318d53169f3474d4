package server

import (
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What is far away is fetched only for those for whom the server fetches.
func TestFrom(t *testing.T) {
	own, daemon, peers := testlayout.NewBlocks(), testlayout.NewBlocks(), testlayout.NewBlocks()
	var all Config
	all.From(sources.Origin{Near: own}, sources.Origin{Near: daemon, Far: peers, Ahead: 16}, sources.Origin{Far: peers})
	if len(all.Reserved) != 2 || len(all.Remote) != 0 {
		t.Errorf("%d reserved and %d other sources, want 2 and 0", len(all.Reserved), len(all.Remote))
	}
	if all.LocalAhead != 16 || all.Local == nil {
		t.Errorf("local %v, read ahead %d", all.Local, all.LocalAhead)
	}
	// A single store keeps what it can do beside Get, such as sending a file as it is.
	var cfg Config
	cfg.From(sources.Origin{Near: own}, sources.Origin{Far: peers})
	if cfg.Local != own || cfg.LocalAhead != 0 {
		t.Errorf("local %v, read ahead %d", cfg.Local, cfg.LocalAhead)
	}
}
