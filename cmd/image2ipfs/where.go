package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/holders"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// whereOptions are the flags of where.
type whereOptions struct {
	sourceOptions
	asJSON bool
}

func newWhere() *cobra.Command {
	opts := &whereOptions{}
	cmd := &cobra.Command{
		Use:   "where NAME",
		Short: "Tell who has an image, and which part of it",
		Long: `Tell who has an image: the store and its cache, Kubo when it is used, peers, those
whom a DHT or a routing server names, and gateways; which part of it each has, and how
that is known. Peers are those of the server that runs on the store, or of the flags.

What is here is counted block by block. What others have is what they say; only a
gateway's root block is fetched and checked. Blobs that nobody has who was asked are
named on standard error, and the exit code is 3 then.`,
		Example: `  image2ipfs where app:1
  image2ipfs where --gateway https://gateway.example.com ciq…
  image2ipfs where --json app:1 | jq -r '.holders[] | select(.has == "all") | .name'`,
		Args:              usage(exactly(1)),
		ValidArgsFunction: completeNames(&opts.storeOptions),
		RunE:              func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0]) },
	}
	opts.sourceFlags(cmd)
	opts.peers.flags(cmd.Flags())
	opts.moving.flags(cmd.Flags())
	cmd.Flags().BoolVar(&opts.asJSON, "json", false, "print a JSON object")
	return cmd
}

func (o *whereOptions) run(cmd *cobra.Command, arg string) (err error) {
	all, err := o.openAll(cmd.Context()) // what peers give of the image's nodes is kept
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	from, leave, err := o.fetching(cmd, all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	name, err := o.found(cmd, all, arg)
	if err != nil {
		return err
	}
	s, why, err := holders.New(cmd.Context(), from, name.Root)
	if err != nil {
		return err
	}
	if why != nil {
		cmd.PrintErrf("nobody says what the image consists of, so only its root is looked for: %s\n", oci.Quoted(why.Error()))
	}
	if err := searchHere(cmd.Context(), s, all, o.cache); err != nil {
		return err
	}
	if err := o.searchPeers(cmd, s, all.own); err != nil {
		return err
	}
	if err := searchGateways(cmd.Context(), s, o.gateways); err != nil {
		return err
	}
	if err := o.print(cmd, s); err != nil {
		return err
	}
	return lacking(s)
}

// found is the root that a name means, by whatever the flags allow to ask.
func (o *whereOptions) found(cmd *cobra.Command, all stores, arg string) (ref.Name, error) {
	if n, ok := o.moving.parse(arg); ok {
		return o.sourceOptions.findMoving(cmd, all, n, o.asJSON)
	}
	return all.Find(cmd.Context(), arg)
}

// searchHere looks into the store, its cache and Kubo.
func searchHere(ctx context.Context, s *holders.Search, all stores, cache *packstore.Cache) error {
	s.Blocks(ctx, holders.Holder{Kind: holders.Store, Name: all.own.Path(), How: "counted"}, has(all.own.Has))
	if cache != nil {
		s.Blocks(ctx, holders.Holder{Kind: holders.Cache, Name: strings.TrimPrefix(cache.String(), "cache "), How: "counted"}, has(cache.Has))
	}
	if all.kubo != nil {
		s.Blocks(ctx, holders.Holder{Kind: holders.Kubo, Name: all.kubo.String(), How: "asked about each block"}, all.kubo.HasBlock)
	}
	return ctx.Err()
}

// searchGateways asks the gateways of a flag, or of the environment.
func searchGateways(ctx context.Context, s *holders.Search, flag []string) error {
	gateways, err := dialGateways(gatewayURLs(flag))
	for _, g := range gateways {
		s.Gateway(ctx, g)
	}
	return cmp.Or(err, ctx.Err())
}

// has takes a question that cannot fail.
func has(fn func(context.Context, cid.Cid) bool) func(context.Context, cid.Cid) (bool, error) {
	return func(ctx context.Context, c cid.Cid) (bool, error) { return fn(ctx, c), nil }
}

// searchPeers asks the peers of the flags, else those of the server that runs.
func (o *whereOptions) searchPeers(cmd *cobra.Command, s *holders.Search, own *packstore.Store) error {
	if o.network != nil {
		o.network.Where(cmd.Context(), s.Image.Root, s.Image.Files()).Tell(s)
		return nil
	}
	return searchOfServer(cmd.Context(), s, own.Path(), func(text string) { cmd.PrintErrln(text) })
}

// searchOfServer asks the server of a store what its peers have.
func searchOfServer(ctx context.Context, s *holders.Search, dir string, tell func(text string)) error {
	w, ok, err := network.Where(ctx, dir, s.Image.Root, s.Image.Files())
	switch {
	case errors.Is(err, ipfs.ErrUnavailable):
		tell("no server with peers runs on this store, so no peers were asked; start one with image2ipfs serve --peers or --mdns, or give --peers here")
	case err != nil:
		return err
	case !ok:
		tell("the running server is of an older version, which does not tell what its peers have: restart it")
	default:
		w.Tell(s)
	}
	return nil
}

// whereabouts is the JSON form of what was found.
type whereabouts struct {
	Root    ref.Spellings    `json:"root"`
	Known   bool             `json:"known"`           // what the image consists of
	Whole   *ipfs.Part       `json:"whole,omitempty"` // nil when that is not known
	Holders []holders.Holder `json:"holders"`         // in the order in which they were asked
	Lacking []digest.Digest  `json:"lacking"`         // blobs that nobody has who was asked
}

func (o *whereOptions) print(cmd *cobra.Command, s *holders.Search) error {
	if o.asJSON {
		out := whereabouts{Root: ref.Spell(s.Image.Root), Known: s.Known, Holders: s.Holders, Lacking: append([]digest.Digest{}, s.Lacking()...)}
		if s.Known {
			whole := s.Image.Whole().Part()
			out.Whole = &whole
		}
		return json.NewEncoder(cmd.OutOrStdout()).Encode(out)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "WHO\tHAS\tBLOBS\tBYTES\tHOW IT IS KNOWN\tWHERE")
	for _, h := range s.Holders {
		fmt.Fprintln(w, strings.Join(holderRow(s, h), "\t"))
	}
	return w.Flush()
}

func holderRow(s *holders.Search, h holders.Holder) []string {
	blobs, bytes := "-", "-"
	if h.Part != nil {
		whole := s.Image.Whole().Part()
		blobs = fmt.Sprintf("%d of %d", h.Part.Blobs, whole.Blobs)
		bytes = fmt.Sprintf("%s of %s", oci.BytesText(h.Part.Bytes), oci.BytesText(whole.Bytes))
	}
	how := h.How
	if h.Error != "" {
		how += ": " + h.Error
	}
	where := slices.Concat([]string{h.Name}, h.Addrs)
	return []string{h.Kind, h.Has, blobs, bytes, oci.Quoted(how), oci.Quoted(strings.Join(where, " "))}
}

// lacking is the error about an image that nobody has wholly.
func lacking(s *holders.Search) error {
	if !s.Found() {
		return fmt.Errorf("%w: nobody who was asked has anything of %s; others are asked with --gateway, --peers, --public or --api", ipfs.ErrNotFound, ref.Ciq(s.Image.Root))
	}
	lost := s.Lacking()
	if len(lost) == 0 {
		return nil
	}
	texts := make([]string, len(lost))
	for i, d := range lost {
		texts[i] = d.String()
	}
	return fmt.Errorf("%w: nobody who was asked has all of %s", ipfs.ErrNotFound, someText(texts))
}
