package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipfs/go-cid"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/server"
)

// serveNames are the flags of serve that are about names that move.
type serveNames struct {
	movingOptions
	follow []string
}

func (o *serveNames) flags(f *pflag.FlagSet) {
	o.movingOptions.flags(f)
	f.StringSliceVar(&o.follow, "name", nil, "move the name of a key with each push: KEY=REPOSITORY[:TAG]; may be given several times (image2ipfs name create makes keys)")
}

// check refuses what makes no sense, or has no effect.
func (o *serveNames) check(push pushOptions) error {
	err := o.movingOptions.check()
	if len(o.follow) > 0 && push.addr == "" {
		err = errors.Join(err, usageError{errors.New("--name moves names with pushes: give --push, too")})
	}
	_, wrong := o.follows()
	return errors.Join(err, wrong)
}

// follows are the names that move with pushes.
func (o *serveNames) follows() (all []names.Follow, err error) {
	for _, text := range o.follow {
		f, err := names.ParseFollow(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--name: %w", err)}
		}
		all = append(all, f)
	}
	return all, nil
}

// start has the server find names that move, and publishes those of the store for as long
// as it runs. stop must be called.
func (o *serveNames) start(ctx context.Context, all stores, from *serveOptions, peers *network.Network, cfg *server.Config, log *slog.Logger) (stop func() error, err error) {
	store, err := namesOf(all)
	if err != nil {
		return nil, err
	}
	reserved, err := recordPlaces(all.kubo, peers, from.peers.routing, nil)
	if err != nil {
		return nil, err
	}
	public, err := recordPlaces(nil, nil, nil, append(gatewayURLs(from.gateways), from.sources...))
	if err != nil {
		return nil, err
	}
	public.Several = reserved.Several
	opts, err := o.options(log, public)
	if err != nil {
		return nil, err
	}
	r := names.NewDivided(store, opts, reserved.Sources...)
	p := names.NewPublisher(store, r.All(), names.PublisherOptions{Sinks: reserved.Sinks, Logger: log})
	cfg.Names, cfg.Collectors = r, append(cfg.Collectors, names.Collector(r, p))
	if peers != nil {
		peers.UseNames(r.All())
	}
	if err := o.followPushes(store, p, cfg, pushed.New(all.recorder, pushed.Options{}), log); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	end := p.Start(ctx)
	return func() error { end(); return r.Close() }, nil
}

// followPushes has names move with pushes.
func (o *serveNames) followPushes(store *names.Store, p *names.Publisher, cfg *server.Config, tags *pushed.Registry, log *slog.Logger) error {
	all, err := o.follows()
	if err != nil || len(all) == 0 {
		return err
	}
	for i, f := range all {
		k, err := store.Key(f.Key)
		if err != nil {
			return fmt.Errorf("--name %s: %w", o.follow[i], err)
		}
		log.Info("a name moves with each push", "name", k.Name, "key", k.Alias, "repository", f.Repository, "tag", f.Tag)
	}
	following, err := names.NewFollowing(p, all, func(ctx context.Context, repository, tag string) (cid.Cid, error) {
		name, err := tags.Root(ctx, repository, tag)
		return name.Root, err
	})
	if err != nil {
		return err
	}
	cfg.Moved = func(ctx context.Context, repository string, result pushed.Result) (moved []server.MovedName, err error) {
		var tags []names.Pushed
		for _, root := range result.Roots {
			tags = append(tags, names.Pushed{Tag: root.Tag, Referrer: result.Subject != "", Remade: root.Remade, Was: root.Was})
		}
		all, err := following.Moved(ctx, repository, tags...)
		for _, m := range all {
			moved = append(moved, server.MovedName(m))
		}
		return moved, err
	}
	return nil
}
