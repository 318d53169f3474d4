package main

import (
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/server/page"
)

// newPage says what the page of serve is about.
func newPage(all stores) *page.Config {
	return &page.Config{
		LastUse: all.own.LastUse, Current: pushed.New(all.recorder, pushed.Options{}).Current,
	}
}

// diskOf tells how many bytes the embedded store and its cache take.
func diskOf(all stores) func() (store, cache int64, err error) {
	return func() (store, cache int64, err error) {
		if store, err = all.own.DiskUsage(); err != nil {
			return 0, 0, err
		}
		cache, err = all.own.CacheSize()
		return store, cache, err
	}
}

// pagePeers lists the peers of a network for the page.
func pagePeers(n *network.Network) func() []page.Peer {
	return func() (all []page.Peer) {
		for _, p := range n.Connected() {
			all = append(all, page.Peer{ID: p.ID, Addr: p.Addr, Agent: p.Agent, Protocols: p.Protocols, In: p.BytesIn, Out: p.BytesOut})
		}
		return all
	}
}
