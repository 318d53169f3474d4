package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/ref"
)

// gatewayEnv is the environment variable in place of --gateway.
const gatewayEnv = "IPFS_GATEWAY"

// sourceOptions say where blocks may be fetched from.
type sourceOptions struct {
	storeOptions
	gateways []string
	peers    peerOptions
	moving   movingOptions
	network  *network.Network // nil before join, and without peers
	cache    *packstore.Cache // what came from peers; nil before join
}

func (o *sourceOptions) sourceFlags(cmd *cobra.Command) {
	o.storeFlags(cmd)
	cmd.Flags().StringSliceVar(&o.gateways, "gateway", nil, "IPFS gateway to fetch from; may be given several times (default: $"+gatewayEnv+")")
}

// join connects to the peers that the flags ask for, if any. leave must be
// called when nothing reads from the sources any more.
func (o *sourceOptions) join(cmd *cobra.Command, all stores) (leave func() error, err error) {
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	o.network, err = o.peers.join(cmd.Context(), all.own, false, log)
	if err != nil || o.network == nil {
		return func() error { return nil }, err
	}
	o.cache = o.network.Cache()
	return o.network.Close, nil
}

// fetching opens all sources of a command that brings images here. leave must be
// called when nothing reads from them any more.
func (o *sourceOptions) fetching(cmd *cobra.Command, all stores) (from *sources.Set, leave func() error, err error) {
	part, err := o.join(cmd, all)
	if err != nil {
		return nil, nil, err
	}
	if o.network == nil { // peers that were there before have left something
		if o.cache, err = all.own.Cache(0); err == nil {
			part = o.cache.Close
		}
	}
	if err == nil {
		from, err = o.blocks(all)
	}
	if err != nil {
		return nil, nil, errors.Join(err, part())
	}
	return from, func() error { return errors.Join(from.Close(), part()) }, nil
}

// gatewayURLs are those of a --gateway flag, else of the environment.
func gatewayURLs(flag []string) []string {
	if len(flag) > 0 {
		return flag
	}
	return strings.FieldsFunc(os.Getenv(gatewayEnv), func(r rune) bool { return r == ',' || r == ' ' })
}

// unfound says what to do about an image that is not here, when nobody else was
// asked for it; other errors stay.
func (o *sourceOptions) unfound(all stores, name ref.Name, err error) error {
	if !errors.Is(err, ipfs.ErrNotFound) || all.kubo != nil || len(gatewayURLs(o.gateways)) > 0 || o.network != nil {
		return err
	}
	return fmt.Errorf("%w: %s is not here, and there is no other source: add --gateway, --peers or --api", ipfs.ErrNotFound, ref.Ciq(name.Root))
}

// blocks gets blocks from all sources: those at hand first, then those far away.
func (o *sourceOptions) blocks(all stores) (*sources.Set, error) {
	var own ipfs.Getter
	if all.own != nil {
		own = all.own
	}
	from := origins(own, all.kubo, o.network)
	if o.cache != nil {
		from = append(from, sources.Origin{Near: o.cache})
	}
	gateways, err := dialGateways(gatewayURLs(o.gateways))
	for _, g := range gateways {
		from = append(from, sources.Origin{Far: g})
	}
	return sources.Of(sources.Options{Patience: sources.Patience, UntilDeadline: true, Insist: true}, from...), err
}

// origins are where blocks come from beside gateways; each may be nil.
func origins(own ipfs.Getter, k *kubo.Store, peers *network.Network) []sources.Origin {
	list := []sources.Origin{{Near: own}}
	if k != nil {
		list = append(list, sources.Origin{Near: k.Offline(), Far: k.Online(), Ahead: kubo.Ahead})
	}
	if peers != nil {
		list = append(list, sources.Origin{Far: peers.Blocks()})
	}
	return list
}

// dialGateways makes clients of the gateways at URLs that a flag gives.
func dialGateways(urls []string) ([]*gateway.Gateway, error) {
	var all []*gateway.Gateway
	for _, url := range urls {
		g, err := gateway.New(url, gateway.Options{})
		if err != nil {
			return nil, usageError{err}
		}
		all = append(all, g)
	}
	return all, nil
}

// healer is [sources.HealerOf] of the own store and all other sources; nil without one.
func (o *sourceOptions) healer(ctx context.Context, all stores, root cid.Cid, tell func(cid.Cid)) (*sources.Healer, error) {
	if all.own == nil {
		return nil, nil
	}
	others, err := o.blocks(newStores(nil, all.kubo))
	if err != nil {
		return nil, err
	}
	return sources.HealerOf(all.own, func() (sources.Mender, error) { return all.own.Heal(ctx, root) }, others, tell)
}
