package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	sourceOptions
	json, quiet bool
}

func newVerify() *cobra.Command {
	opts := &verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify NAME...",
		Short: "Read an image again and check every CID and digest",
		Long: `Read everything under a name again, check each block against its CID and each
blob against its digest, and that nothing is missing. All faults are reported.

A block that is damaged or missing in the store is fetched from Kubo, a gateway
or a peer, if there is one that has it, and put right.`,
		Example: `  image2ipfs verify app:1
  image2ipfs verify --gateway http://gateway.local:8080 app:1
  image2ipfs ls -q | xargs image2ipfs verify`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(&opts.storeOptions),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			open := opts.openAll // blocks of others are kept
			if len(gatewayURLs(opts.gateways)) == 0 && !opts.peers.asked() {
				open = opts.openExisting
			}
			all, err := open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			leave, err := opts.join(cmd, all)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, leave()) }()
			var faults []error
			for _, arg := range args {
				faults = append(faults, opts.verify(cmd, all, arg))
			}
			return errors.Join(faults...)
		},
	}
	opts.sourceFlags(cmd)
	opts.peers.flags(cmd.Flags())
	cmd.Flags().BoolVar(&opts.json, "json", false, "print a JSON object for each name")
	cmd.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "print failures only")
	return cmd
}

// verified is the JSON form of a result.
type verified struct {
	Root ref.Spellings `json:"root"`
	OK   bool          `json:"ok"`
	ipfs.Verification
	Healed []string `json:"healed,omitempty"` // CIDs of blocks
	Error  string   `json:"error,omitempty"`
}

func (o *verifyOptions) verify(cmd *cobra.Command, all stores, arg string) (err error) {
	ctx := cmd.Context()
	name, err := all.Find(ctx, arg)
	if err != nil {
		return err
	}
	result := verified{Root: ref.Spell(name.Root)}
	from := all.Getter()
	h, err := o.healer(ctx, all, name.Root, func(c cid.Cid) { result.Healed = append(result.Healed, c.String()) })
	if err != nil {
		return err
	}
	if h != nil {
		from = h
	}
	if !name.Plain() {
		l, err := layout.Open(ctx, ipfs.Verified(from), name.Root)
		if err == nil {
			err = l.Check(ctx, name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	p := newProgress(cmd.ErrOrStderr(), ref.Ciq(name.Root), -1, o.quiet || o.json)
	result.Verification, err = ipfs.Verify(ctx, from, name.Root, p.add)
	p.done()
	if h != nil {
		err = errors.Join(err, h.Close())
	}
	if result.OK = err == nil; !result.OK {
		if errors.Is(err, ipfs.ErrNotFound) && all.own != nil && all.own.Keeps(ctx, name.Root) {
			err = fmt.Errorf("%w; image2ipfs gc finds in the packs what only the index has lost", err)
		}
		if h == nil && errors.Is(err, ipfs.ErrCorrupt) {
			err = fmt.Errorf("%w; give a --gateway or --peers that have the image to heal it", err)
		}
		result.Error = err.Error()
		err = fmt.Errorf("%s: %w", ref.Ciq(name.Root), err)
	}
	if o.json {
		return errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(result))
	}
	o.report(cmd, name, result)
	return err
}

func (o *verifyOptions) report(cmd *cobra.Command, name ref.Name, v verified) {
	for _, c := range v.Healed {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: healed block %s\n", ref.Ciq(name.Root), c)
	}
	if v.OK && !o.quiet {
		tellAbsent(cmd, v.Absent)
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d blobs, %s, all CIDs and digests right\n", ref.Ciq(name.Root), v.Blobs, bytesText(v.Bytes))
	}
}
