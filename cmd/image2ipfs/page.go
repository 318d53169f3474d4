package main

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/ipfs/holders"
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

// pageWhere tells who has an image: the stores of this server, and, when others may be
// asked, its peers and gateways. Strangers may read it, so places here are not named.
func pageWhere(all stores, peers *network.Network, gateways []*gateway.Gateway) page.Where {
	return func(ctx context.Context, root cid.Cid, others bool) (*holders.Search, error) {
		s, _, err := holders.New(ctx, all.Getter(), root)
		if err != nil {
			return nil, err
		}
		s.Blocks(ctx, holders.Holder{Kind: holders.Store, Name: "this server", How: "counted"}, has(all.own.Has))
		if peers != nil {
			s.Blocks(ctx, holders.Holder{Kind: holders.Cache, Name: "this server", How: "counted"}, has(peers.Cache().Has))
		}
		if all.kubo != nil {
			s.Blocks(ctx, holders.Holder{Kind: holders.Kubo, Name: "this server's", How: "asked about each block"}, all.kubo.HasBlock)
		}
		if !others {
			return s, ctx.Err()
		}
		if peers != nil {
			peers.Where(ctx, s.Image.Root, s.Image.Files()).Tell(s)
		}
		for _, g := range gateways {
			s.Gateway(ctx, g)
		}
		return s, nil
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
