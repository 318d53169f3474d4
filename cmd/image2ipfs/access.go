package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/ipfs/go-cid"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/server"
)

// accessOptions are the flags of serve that say who may see what.
type accessOptions struct {
	allow           []string
	pinned          bool
	catalog         bool
	tlsCert, tlsKey string
	metrics         string
	hosts           []string
	memory          byteSize
	proxies         []string
	keys            []string
}

func (o *accessOptions) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.allow, "allow", nil, "serve this image only: a CID, a pull name, or a file with one on each line; may be given several times")
	f.BoolVar(&o.pinned, "pinned", false, "serve only what the own store keeps (with --allow: that as well)")
	f.BoolVar(&o.catalog, "catalog", false, "show to everyone who may read, not only to this machine, what is published: its list (/v2/_catalog) and the page at /, with files of layers, who has what, peers without their addresses, how much is stored and sent (with --allow and --pinned of the images alone)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "serve HTTPS with the certificate chain in this PEM file, read again when it changes")
	f.StringVar(&o.tlsKey, "tls-key", "", "PEM file with the key of --tls-cert")
	f.StringSliceVar(&o.hosts, "host", nil, "on a loopback address answer for this host name as well, not only for localhost and loopback addresses; may be given several times")
	signedFlags(f, &o.keys, "serve")
	f.StringSliceVar(&o.proxies, "proxy-from", nil, "take X-Forwarded-For of proxies in this network, such as 10.0.0.0/8, for where requests come from; may be given several times")
	o.memory = server.DefaultMemory
	f.Var(&o.memory, "memory", "how much memory the server may take, whoever asks it for what")
	f.StringVar(&o.metrics, "metrics", "", "address for /metrics alone, such as 127.0.0.1:9100 (default: /metrics is on --addr)")
}

// check refuses what makes no sense, and a limit that peers would not be held to: they may
// have every block of the store, so those who connect must be one's own.
func (o *accessOptions) check(peers peerOptions) (err error) {
	if (o.pinned || len(o.allow) > 0) && peers.asked() && peers.swarmKey == "" {
		err = usageError{errors.New("--allow and --pinned limit the registry, and peers may have every block of the store: with peers give --swarm-key too, so that they are your own, or run this server without peers")}
	}
	if least := byteSize(server.LeastMemory); o.memory < least {
		err = errors.Join(err, usageError{fmt.Errorf("--memory %s: want at least %s", &o.memory, &least)})
	}
	_, wrong := o.networks()
	return errors.Join(err, wrong, checkPair(o.tlsCert, o.tlsKey, "--tls"), checkNames("--host", o.hosts))
}

// networks are those of proxies.
func (o *accessOptions) networks() (all []netip.Prefix, err error) {
	for _, text := range o.proxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--proxy-from %q is no network; write it as 10.0.0.0/8 or 192.0.2.7/32", text)}
		}
		all = append(all, network.Masked())
	}
	return all, nil
}

// checkPair refuses one of two flags, whose names begin alike, without the other.
func checkPair(cert, key, flag string) error {
	if (cert == "") != (key == "") {
		return usageError{fmt.Errorf("%s-cert and %s-key belong together: one of them is missing", flag, flag)}
	}
	return nil
}

// apply puts the flags into a server's configuration.
func (o *accessOptions) apply(ctx context.Context, cfg *server.Config, all stores) (err error) {
	if o.tlsCert != "" {
		if cfg.TLS, err = server.TLS(ctx, o.tlsCert, o.tlsKey, server.Options{Logger: cfg.Logger}); err != nil {
			return err
		}
	}
	if cfg.Proxies, err = o.networks(); err != nil {
		return err
	}
	server.LimitMemory(int64(o.memory))
	cfg.Hosts = o.hosts
	cfg.MetricsElsewhere = o.metrics != ""
	cfg.Catalog, cfg.Kept = o.catalog, func(ctx context.Context) ([]ipfs.Root, error) {
		kept, err := all.Roots(ctx)
		if local.IsFatal(err) {
			return nil, err
		}
		roots := make([]ipfs.Root, len(kept))
		for i, k := range kept {
			roots[i] = k.Root
		}
		return roots, nil
	}
	cfg.Used, cfg.UsedHeld = all.own.NoteUse, all.own.NoteHeld
	cfg.Page, cfg.Disk, cfg.Version = newPage(all), diskOf(all), version
	cfg.Stored = func(ctx context.Context) (sum server.Stored, err error) {
		sum.Roots, sum.Bytes, err = all.Total(ctx)
		return sum, err
	}
	if cfg.Signed, err = policyOf(ctx, o.keys); err != nil {
		return fmt.Errorf("--%s: %w", signedFlag, err)
	}
	limits, err := o.limits(ctx, all, cfg.Logger)
	if len(limits) > 0 {
		cfg.Allow = server.AnyOf(limits...)
	}
	return err
}

// limits are those of --allow and --pinned; none where everything is served.
func (o *accessOptions) limits(ctx context.Context, all stores, log *slog.Logger) (limits []server.Allow, err error) {
	if len(o.allow) > 0 {
		roots, err := server.ReadAllowList(ctx, o.allow...)
		if errors.Is(err, server.ErrAllowList) {
			return nil, usageError{fmt.Errorf("--allow: %w", err)}
		}
		if err != nil {
			return nil, fmt.Errorf("--allow: %w", err)
		}
		limits = append(limits, server.Only(roots...))
	}
	if o.pinned {
		limits = append(limits, server.Pinned(func(ctx context.Context) ([]cid.Cid, error) {
			kept, err := all.CIDs(ctx)
			beside, failed := pushed.New(all.recorder, pushed.Options{}).AllBeside(ctx)
			return append(kept, beside...), errors.Join(err, failed)
		}, server.Options{Logger: log}))
	}
	return limits, nil
}
