package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// movingOptions say which names that move are understood.
type movingOptions struct {
	dnslink []string
	dns     string
}

func (o *movingOptions) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.dnslink, "dnslink", nil, "take this domain in a name for what its DNSLink says (a TXT record of _dnslink.DOMAIN), so that DNS is asked and trusted; may be given several times")
	o.dnsFlag(f)
}

func (o *movingOptions) dnsFlag(f *pflag.FlagSet) {
	f.StringVar(&o.dns, "dns", "", "ask this server of DNS for DNSLinks, host:port (default: the system's)")
}

// check refuses what is no domain, and no address of a server of DNS.
func (o *movingOptions) check() error {
	for _, d := range o.dnslink {
		if _, err := ref.ParseDomain(d); err != nil {
			return usageError{fmt.Errorf("--dnslink: %w", err)}
		}
	}
	if o.dns == "" {
		return nil
	}
	if host, port, err := net.SplitHostPort(o.dns); err != nil || host == "" || port == "" || port == "0" {
		return usageError{fmt.Errorf("--dns %q: expected host:port, such as 192.0.2.53:53", o.dns)}
	}
	return nil
}

// options are those of a resolver of names that asks sources.
func (o *movingOptions) options(log *slog.Logger, from names.Places) (names.Options, error) {
	opts := names.Options{Sources: from.Sources, Several: from.Several, Logger: log}
	if err := o.check(); err != nil {
		return opts, err
	}
	opts.Domains = o.dnslink
	if o.dns != "" {
		opts.DNS = names.AskDNS(o.dns)
	}
	return opts, nil
}

// parse reads a name that moves; ok is false for what is none.
func (o *movingOptions) parse(arg string) (n ref.Name, ok bool) {
	if _, err := ref.ParseName(arg); err == nil {
		return n, false
	}
	n, err := ref.ParseMoving(arg, func(d string) bool { return slices.Contains(o.dnslink, d) })
	return n, err == nil
}

// namesOf is where a store keeps names; the error says that there is none.
func namesOf(all stores) (*names.Store, error) {
	if all.own == nil {
		return nil, fmt.Errorf("%w: names that move are kept in the embedded store, and there is none: image2ipfs publish, serve and name make one", ipfs.ErrNotFound)
	}
	return names.NewStore(names.Dir(all.own.Path())), nil
}

// meantBy lists what names mean that move and whose keys are in a store, if there is one.
func meantBy(own *packstore.Store) (local.Meant, error) {
	if own == nil {
		return nil, nil
	}
	return names.NewStore(names.Dir(own.Path())).Meant()
}

// recordPlaces are a Kubo, peers, routing servers and gateways, for records; the first two
// may be nil.
func recordPlaces(k *kubo.Store, peers *network.Network, routing, gateways []string) (all names.Places, err error) {
	if k != nil {
		all.Add(k)
	}
	if peers != nil {
		all.Add(peers.Records()...)
	}
	for _, url := range routing {
		r, err := names.NewRouting(url)
		if err != nil {
			return all, usageError{err}
		}
		all.Add(r)
	}
	dialed, err := dialGateways(gateways)
	for _, g := range dialed {
		all.Add(g)
	}
	return all, err
}

// findMoving finds the root of a name that moves, from what the store knows and Kubo.
func (o *storeOptions) findMoving(cmd *cobra.Command, all stores, n ref.Name) (_ ref.Name, err error) {
	store, err := namesOf(all)
	if err != nil {
		return n, err
	}
	places, err := recordPlaces(all.kubo, nil, nil, nil)
	if err != nil {
		return n, err
	}
	return lookUp(cmd, store, names.Options{Sources: places.Sources, Logger: warnings(cmd)}, n, cmd.ErrOrStderr())
}

// find is [local.Stores.Find] that knows names that move, too.
func (o *storeOptions) find(cmd *cobra.Command, all stores, arg string) (ref.Name, error) {
	if n, ok := new(movingOptions).parse(arg); ok {
		return o.findMoving(cmd, all, n)
	}
	return all.Find(cmd.Context(), arg)
}

// findListed is find for what takes away: names as they are listed.
func (o *storeOptions) findListed(cmd *cobra.Command, all stores, arg string) (ref.Name, error) {
	if n, ok := new(movingOptions).parse(arg); ok {
		return o.findMoving(cmd, all, n)
	}
	return all.FindListed(cmd.Context(), arg)
}

// records are all that can be asked for records, and that take them.
func (o *sourceOptions) records(all stores) (names.Places, error) {
	return recordPlaces(all.kubo, o.network, o.peers.routing, gatewayURLs(o.gateways))
}

// findMoving finds the root of a name that moves, from all sources; those must have been
// joined.
func (o *sourceOptions) findMoving(cmd *cobra.Command, all stores, n ref.Name, quiet bool) (ref.Name, error) {
	store, err := namesOf(all)
	if err != nil {
		return n, err
	}
	places, err := o.records(all)
	if err != nil {
		return n, err
	}
	opts, err := o.moving.options(warnings(cmd), places)
	if err != nil {
		return n, err
	}
	tell := cmd.ErrOrStderr()
	if quiet {
		tell = io.Discard
	}
	return lookUp(cmd, store, opts, n, tell)
}

// warnings is the logger of a command that has no log.
func warnings(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// lookUp finds a root and tells which it is, how old that is, and who was trusted.
func lookUp(cmd *cobra.Command, store *names.Store, opts names.Options, n ref.Name, tell io.Writer) (_ ref.Name, err error) {
	r := names.NewResolver(store, opts)
	defer func() { err = errors.Join(err, r.Close()) }()
	m, err := r.FindSoon(cmd.Context(), n.Moving)
	if err != nil {
		return n, err
	}
	n.Root = m.Root
	_, err = fmt.Fprintf(tell, "%s is %s, %s\n", n.Moving, ref.Ciq(m.Root), meaningText(m))
	return n, err
}

// meaningText says how old an answer is and on what it rests.
func meaningText(m ipfs.Meaning) string {
	text := "heard at a time that is not known"
	if !m.Got.IsZero() {
		text = "heard " + time.Since(m.Got).Round(time.Second).String() + " ago"
	}
	if m.Sequence > 0 {
		text = fmt.Sprintf("sequence %d, ", m.Sequence) + text
	}
	if m.Stale != nil {
		text += ", which nobody has confirmed since: " + oci.Quoted(m.Stale.Error())
	}
	if m.Domain != "" {
		text += "; that is the DNSLink of " + m.Domain + ": DNS was trusted, nothing is signed"
	}
	return text
}
