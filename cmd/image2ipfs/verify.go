package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/trust"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	sourceOptions
	all, json, quiet bool
	keys             []string
	policy           *trust.Policy // nil when no signature is asked for
}

func newVerify() *cobra.Command {
	opts := &verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify NAME... | --all",
		Short: "Read an image again and check every CID and digest",
		Long: `Read everything under a name again, check each block against its CID and each
blob against its digest, and that nothing is missing. All faults are reported.
With --all that is everything that the store keeps, and Kubo when it is used; what
several images share is read once, and the exit code tells whether all are right.

With --key it also checks, offline, that what the name means is signed by that public
key: by cosign, of version 1, 2 or 3, in a signature that lies beside the image in its
layout. Of a CID alone each of its images has to be. Exit code 7 tells that one is not.

A block that is damaged or missing in the store is fetched from Kubo, a gateway
or a peer, if there is one that has it, and put right.`,
		Example: `  image2ipfs verify app:1
  image2ipfs verify --gateway http://gateway.local:8080 app:1
  image2ipfs verify --key cosign.pub app:1
  image2ipfs verify --all --json`,
		Args: usage(func(cmd *cobra.Command, args []string) error {
			if opts.all {
				return noArguments(cmd, args)
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		}),
		ValidArgsFunction: completeNames(&opts.storeOptions),
		RunE:              func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args) },
	}
	opts.sourceFlags(cmd)
	opts.peers.flags(cmd.Flags())
	cmd.Flags().StringSliceVar(&opts.keys, "key", nil, "check that the image is signed by the public key in this PEM file, such as cosign.pub; given several times, any one of the keys will do")
	cmd.Flags().BoolVar(&opts.all, "all", false, "verify everything that is kept")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print a JSON object for each name")
	cmd.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "print failures only")
	return cmd
}

func (o *verifyOptions) run(cmd *cobra.Command, args []string) (err error) {
	if o.policy, err = policyOf(cmd.Context(), o.keys); err != nil {
		return err
	}
	open := o.openAll // blocks of others are kept
	if len(gatewayURLs(o.gateways)) == 0 && !o.peers.asked() {
		open = o.openExisting
	}
	all, err := open(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	leave, err := o.join(cmd, all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	if o.all {
		return o.verifyAll(cmd, all)
	}
	var faults []error
	for _, arg := range args {
		name, err := o.find(cmd, all, arg)
		if err == nil {
			err = o.verify(cmd, all, verification{name: name, from: all.Getter(), by: new(ipfs.Verifier), label: ref.Ciq(name.Root)})
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// verifyAll verifies everything that is kept, in each store that keeps it; what is removed
// meanwhile is passed over.
func (o *verifyOptions) verifyAll(cmd *cobra.Command, all stores) error {
	kept, damaged := all.Roots(cmd.Context())
	if local.IsFatal(damaged) {
		return damaged
	}
	if all.own != nil {
		if err := tellForeign(cmd, all.own); err != nil {
			return err
		}
	}
	faults := []error{damaged}
	by := map[ipfs.Store]*ipfs.Verifier{}
	wrong, gone := 0, 0
	for i, k := range kept {
		if by[k.Store] == nil {
			by[k.Store] = new(ipfs.Verifier)
		}
		err := o.verify(cmd, all, verification{
			name: ref.Name{Root: k.CID}, from: k.Store, by: by[k.Store], store: k.Store,
			label: fmt.Sprintf("%d of %d, %s", i+1, len(kept), ref.Ciq(k.CID)),
		})
		switch {
		case errors.Is(err, errGone):
			gone++
			continue
		case err != nil:
			wrong++
		}
		if cmd.Context().Err() != nil {
			return err
		}
		faults = append(faults, err)
	}
	if !o.quiet && !o.json {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d are right\n", len(kept)-gone-wrong, len(kept)-gone)
	}
	return errors.Join(faults...)
}

// verified is the JSON form of a result.
type verified struct {
	Root  ref.Spellings `json:"root"`
	Store string        `json:"store,omitempty"`
	OK    bool          `json:"ok"`
	ipfs.Verification
	Healed []string    `json:"healed,omitempty"`     // CIDs of blocks
	Signed []signature `json:"signatures,omitempty"` // with --key
	Error  string      `json:"error,omitempty"`
}

// errGone is about what was removed before it was verified.
var errGone = errors.New("not kept any more")

// verification is one thing to verify.
type verification struct {
	name  ref.Name
	from  ipfs.Getter
	by    *ipfs.Verifier
	store ipfs.Store // where it was kept when --all began; nil for a name
	label string     // for progress
}

func (o *verifyOptions) verify(cmd *cobra.Command, all stores, v verification) (err error) {
	ctx, name := cmd.Context(), v.name
	result := verified{Root: ref.Spell(name.Root)}
	if v.store != nil {
		result.Store = v.store.String()
	}
	var h *sources.Healer
	if v.store == nil || all.own != nil && v.from == ipfs.Getter(all.own) {
		h, err = o.healer(ctx, all, name.Root, func(c cid.Cid) { result.Healed = append(result.Healed, c.String()) })
		if err != nil {
			return err
		}
	}
	if h != nil {
		v.from = h
	}
	if !name.Plain() {
		l, err := layout.Open(ctx, ipfs.Verified(v.from), name.Root)
		if err == nil {
			err = l.Check(ctx, name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	p := newProgress(cmd.ErrOrStderr(), v.label, -1, o.quiet || o.json)
	result.Verification, err = v.by.Verify(ctx, v.from, name.Root, p.add)
	p.done()
	if err == nil && o.policy != nil {
		result.Signed, err = signatures(ctx, o.policy, v.from, name)
	}
	if h != nil {
		err = errors.Join(err, h.Close())
	}
	if v.store != nil && errors.Is(err, ipfs.ErrNotFound) && errors.Is(local.Stores{v.store}.IsKept(ctx, local.Match{Name: name}), ipfs.ErrNotFound) {
		return errGone
	}
	if result.OK = err == nil; !result.OK {
		err = o.advise(ctx, all, name.Root, h != nil, err)
		result.Error = err.Error()
		err = fmt.Errorf("%s: %w", ref.Ciq(name.Root), err)
	}
	if o.json {
		return errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(result))
	}
	o.report(cmd, name, result)
	return err
}

// advise says what to do about a fault.
func (o *verifyOptions) advise(ctx context.Context, all stores, root cid.Cid, healing bool, err error) error {
	if errors.Is(err, ipfs.ErrNotFound) && all.own != nil && all.own.Keeps(ctx, root) {
		err = fmt.Errorf("%w; image2ipfs gc finds in the packs what only the index has lost", err)
	}
	if !healing && errors.Is(err, ipfs.ErrCorrupt) && !errors.Is(err, oci.ErrLimit) {
		err = fmt.Errorf("%w; give a --gateway or --peers that have the image to heal it, or publish it again", err)
	}
	return err
}

func (o *verifyOptions) report(cmd *cobra.Command, name ref.Name, v verified) {
	for _, c := range v.Healed {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: healed block %s\n", ref.Ciq(name.Root), c)
	}
	if v.OK && !o.quiet {
		tellAbsent(cmd, v.Absent)
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d blobs, %s, all CIDs and digests right\n", ref.Ciq(name.Root), v.Blobs, oci.BytesText(v.Bytes))
		if o.policy != nil {
			tellSigned(cmd, name, v.Signed)
		}
	}
}
