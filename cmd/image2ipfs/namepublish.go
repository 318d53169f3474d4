package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ref"
)

// namePublishOptions are the flags of name publish.
type namePublishOptions struct {
	sourceOptions
	move names.Move
}

func newNamePublish() *cobra.Command {
	opts := &namePublishOptions{}
	cmd := &cobra.Command{
		Use:   "publish KEY NAME",
		Short: "Have a name mean an image from now on",
		Long: `Have the name of a key mean the root of an image: one that was published here
(app:1), or any CID. The record is signed with a higher sequence number than any that
was seen, and is on disk before others are told: Kubo (--api), delegated routing servers
(--routing), peers and the DHT, and by a serve that runs on this store all that it knows.
The names to pull by are printed.

Others are asked first for the newest record. When it was not signed here, another
machine has the key: nothing is moved then, unless --force is given.`,
		Example: `  image2ipfs name publish app app:1
  image2ipfs name publish --api http://127.0.0.1:5001 app ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi`,
		Args: usage(exactly(2)),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0], args[1]) },
	}
	opts.sourceFlags(cmd)
	opts.peers.flags(cmd.Flags())
	f := cmd.Flags()
	f.DurationVar(&opts.move.TTL, "ttl", 0, "for how long others may take the record for the newest (default: what it was, 1m at first)")
	f.DurationVar(&opts.move.Lifetime, "lifetime", 0, "for how long the record is valid; serve signs it anew before that (default: what it was, 168h at first)")
	f.BoolVar(&opts.move.Force, "force", false, "move the name though another machine has moved it, or nobody could be asked for its last record")
	return cmd
}

func (o *namePublishOptions) run(cmd *cobra.Command, alias, arg string) (err error) {
	ctx := cmd.Context()
	if o.move.TTL < 0 || o.move.Lifetime < 0 || o.move.Lifetime > 0 && o.move.Lifetime < time.Minute {
		return usageError{errors.New("--ttl and --lifetime are times such as 1m and 168h, and --lifetime at least 1m")}
	}
	all, err := o.openAll(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	store, err := namesOf(all)
	if err != nil {
		return err
	}
	key, err := store.Key(alias)
	if err != nil {
		return err
	}
	name, err := all.Find(ctx, arg)
	if err == nil {
		err = all.Check(ctx, name)
	}
	if err != nil {
		return err
	}
	leave, err := o.join(cmd, all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	places, err := o.records(all)
	if err != nil {
		return err
	}
	r := names.NewResolver(store, names.Options{Sources: places.Sources, Several: places.Several, Logger: warnings(cmd)})
	defer func() { err = errors.Join(err, r.Close()) }()
	p := names.NewPublisher(store, r, names.PublisherOptions{Sinks: places.Sinks, Logger: warnings(cmd)})
	rec, err := o.publish(ctx, p, key, name)
	if err != nil {
		return err
	}
	sent := p.Send(ctx, rec)
	fmt.Fprintf(cmd.ErrOrStderr(), "%s means %s, sequence %d, valid until %s\n", key.Name, ref.Ciq(name.Root), rec.Sequence, rec.Until.Local().Format(time.DateTime))
	if len(sent.To) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "told: %s\n", strings.Join(sent.To, ", "))
	}
	if err := o.printLines(cmd, all, key.Name, name); err != nil {
		return err
	}
	if sent.Failed != nil && len(sent.To) == 0 {
		return fmt.Errorf("the name has moved here, and nobody else could be told; a running serve tries again: %w", sent.Failed)
	}
	if sent.Failed != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "not told: %v\n", sent.Failed)
	}
	return nil
}

func (o *namePublishOptions) publish(ctx context.Context, p *names.Publisher, key names.Key, name ref.Name) (names.Record, error) {
	err := p.Ask(ctx, key)
	if forced := errors.Is(err, names.ErrOtherWriter) || errors.Is(err, names.ErrUnsure); err != nil && (!forced || !o.move.Force) {
		return names.Record{}, err
	}
	o.move.Asked = err == nil
	return p.Publish(ctx, key, o.move, func(context.Context) (string, error) { return "/ipfs/" + name.Root.String(), nil })
}

// printLines prints the names to pull by; of a root that is not here, that of the key.
func (o *namePublishOptions) printLines(cmd *cobra.Command, all stores, moving string, name ref.Name) error {
	l, err := all.Layout(cmd.Context(), name)
	if errors.Is(err, ipfs.ErrNotFound) {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), moving)
		return err
	}
	if err != nil {
		return err
	}
	lines, err := l.MovingLines(cmd.Context(), moving)
	for _, line := range lines {
		if err == nil {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
		}
	}
	return err
}

// nameResolveOptions are the flags of name resolve.
type nameResolveOptions struct {
	sourceOptions
	asJSON bool
}

func newNameResolve() *cobra.Command {
	opts := &nameResolveOptions{}
	cmd := &cobra.Command{
		Use:   "resolve NAME",
		Short: "Find what a name means now",
		Long: `Find the root that a name means now: an IPNS name (k51…), or a domain with a DNSLink.
Kubo, peers, the DHT, routing servers and gateways are asked, none of which is trusted: records
are checked against the name, and none counts that is older than one seen before. Of a
domain DNS is believed.`,
		Example: `  image2ipfs name resolve k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r
  image2ipfs name resolve --peers /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW… k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r
  image2ipfs name resolve --gateway http://gateway.local:8080 images.example.com`,
		Args: usage(exactly(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0]) },
	}
	opts.sourceFlags(cmd)
	opts.peers.flags(cmd.Flags())
	opts.moving.dnsFlag(cmd.Flags())
	cmd.Flags().BoolVar(&opts.asJSON, "json", false, "print a JSON object")
	return cmd
}

// resolvedName is the JSON form of what a name means.
type resolvedName struct {
	Name     string        `json:"name"`
	Root     ref.Spellings `json:"root"`
	Steps    []string      `json:"steps"`
	Sequence int64         `json:"sequence,omitempty"`
	Heard    time.Time     `json:"heard"`
	Until    *time.Time    `json:"validUntil,omitempty"`
	Domain   string        `json:"trustedDNS,omitempty"`
	Stale    string        `json:"stale,omitempty"`
}

func (o *nameResolveOptions) run(cmd *cobra.Command, arg string) (err error) {
	n, ok := o.moving.parse(arg)
	if !ok {
		if n, err = ref.ParseMoving("/ipns/"+strings.TrimPrefix(arg, "/ipns/"), nil); err != nil {
			return usageError{err}
		}
	}
	all, err := o.openAll(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	store, err := namesOf(all)
	if err != nil {
		return err
	}
	leave, err := o.join(cmd, all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	places, err := o.records(all)
	if err != nil {
		return err
	}
	opts, err := o.moving.options(warnings(cmd), places)
	if err != nil {
		return err
	}
	r := names.NewResolver(store, opts)
	defer func() { err = errors.Join(err, r.Close()) }()
	m, err := r.FindSoon(cmd.Context(), n.Moving)
	if err != nil {
		return err
	}
	return o.report(cmd, n.Moving, m)
}

func (o *nameResolveOptions) report(cmd *cobra.Command, moving string, m ipfs.Meaning) error {
	if !o.asJSON {
		fmt.Fprintln(cmd.ErrOrStderr(), meaningText(m))
		_, err := fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(m.Root))
		return err
	}
	out := resolvedName{Name: moving, Root: ref.Spell(m.Root), Steps: m.Steps, Sequence: int64(min(m.Sequence, 1<<63-1)), Heard: m.Got.UTC(), Domain: m.Domain}
	if !m.Until.IsZero() {
		until := m.Until.UTC()
		out.Until = &until
	}
	if m.Stale != nil {
		out.Stale = m.Stale.Error()
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(out)
}
