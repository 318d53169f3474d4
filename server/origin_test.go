package server

import (
	"net"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What is far away is fetched only by a server that fetches for those who reach it.
func TestFrom(t *testing.T) {
	own, daemon, peers := testlayout.NewBlocks(), testlayout.NewBlocks(), testlayout.NewBlocks()
	for _, open := range []bool{false, true} {
		cfg := Config{Open: open}
		cfg.From(sources.Origin{Near: own}, sources.Origin{Near: daemon, Far: peers, Ahead: 16}, sources.Origin{Far: peers})
		if want := map[bool]int{true: 2}[open]; len(cfg.Remote) != want {
			t.Errorf("open %v: %d remote sources, want %d", open, len(cfg.Remote), want)
		}
		if cfg.LocalAhead != 16 || cfg.Local == nil {
			t.Errorf("local %v, read ahead %d", cfg.Local, cfg.LocalAhead)
		}
	}
	// A single store keeps what it can do beside Get, such as sending a file as it is.
	var cfg Config
	cfg.From(sources.Origin{Near: own}, sources.Origin{Far: peers})
	if cfg.Local != own || cfg.LocalAhead != 0 {
		t.Errorf("local %v, read ahead %d", cfg.Local, cfg.LocalAhead)
	}
}

func TestIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:5000": true, "127.9.9.9:1": true, "[::1]:5000": true, "0.0.0.0:5000": false, "[::]:5000": false, "192.0.2.1:5000": false} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := IsLoopback(tcp); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if IsLoopback(&net.UnixAddr{Name: "/run/socket"}) {
		t.Error("a socket whose mode is not known counts as loopback")
	}
}
