package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
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
	network  *network         // nil before join, and without peers
	cache    *packstore.Cache // what came from peers; nil before join
	absent   error            // no peer answered; nil when one did
}

func (o *sourceOptions) sourceFlags(cmd *cobra.Command) {
	o.storeFlags(cmd)
	cmd.Flags().StringSliceVar(&o.gateways, "gateway", nil, "IPFS gateway to fetch from; may be given several times (default: $"+gatewayEnv+")")
}

// join connects to the peers that the flags ask for, if any. leave must be
// called when nothing reads from the sources any more.
func (o *sourceOptions) join(cmd *cobra.Command, all stores) (leave func() error, err error) {
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	o.network, err = o.peers.join(cmd.Context(), all.store(), false, log)
	if err != nil || o.network == nil {
		return func() error { return nil }, err
	}
	o.cache = o.network.cache
	if err := o.network.node.Ready(cmd.Context()); errors.Is(err, ipfs.ErrUnavailable) {
		if strings.Contains(err.Error(), "negotiate security protocol") { // all that libp2p tells
			err = fmt.Errorf("%w; both sides need the same --swarm-key, or none", err)
		}
		log.Warn("no peers", "error", err) // another source may do
		o.absent = err
	} else if err != nil {
		return nil, errors.Join(err, o.network.close())
	}
	return o.network.close, nil
}

// fetching opens all sources of a command that brings images here. leave must be
// called when nothing reads from them any more.
func (o *sourceOptions) fetching(cmd *cobra.Command, all stores) (from *sources.Set, leave func() error, err error) {
	part, err := o.join(cmd, all)
	if err != nil {
		return nil, nil, err
	}
	if o.network == nil { // peers that were there before have left something
		if o.cache, err = all.store().Cache(0); err == nil {
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
	if !errors.Is(err, ipfs.ErrNotFound) || len(all) > 1 || len(gatewayURLs(o.gateways)) > 0 || o.network != nil {
		return err
	}
	return fmt.Errorf("%w: %s is not here, and there is no other source: add --gateway, --peers or --api", ipfs.ErrNotFound, ref.Ciq(name.Root))
}

// blocks gets blocks from all sources: those at hand first, then those far away.
func (o *sourceOptions) blocks(all stores) (*sources.Set, error) {
	var list []*sources.Source
	for _, e := range all {
		if k, ok := e.(*kubo.Store); ok {
			list = append(list, sources.Near(k.Offline()), sources.Far(k.Online()))
		} else {
			list = append(list, sources.Near(e))
		}
	}
	if o.cache != nil {
		list = append(list, sources.Near(o.cache))
	}
	if o.network != nil {
		list = append(list, sources.Far(unsure{o.network.exchange, o.absent}))
	}
	for _, url := range gatewayURLs(o.gateways) {
		g, err := gateway.New(url, gateway.Options{})
		if err != nil {
			return nil, usageError{err}
		}
		list = append(list, sources.Far(g))
	}
	return sources.New(sources.Options{Patience: 20 * time.Second, Insist: true}, list...), nil
}

// unsure is the exchange, of which it is not known whether a block is nowhere
// as long as no peer has answered.
type unsure struct {
	*exchange.Exchange
	absent error // nil when peers have answered
}

func (u unsure) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := u.Exchange.Get(ctx, c)
	if errors.Is(err, ipfs.ErrNotFound) && u.absent != nil {
		err = u.absent
	}
	return data, err
}
