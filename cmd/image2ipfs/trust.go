package main

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// signedFlag is the flag by which nothing is taken or given that is not signed.
const signedFlag = "require-signature"

func signedFlags(f *pflag.FlagSet, keys *[]string, what string) {
	f.StringSliceVar(keys, signedFlag, nil, what+" only what is signed by the public key in this PEM file, such as cosign.pub, and what is reached from that; given several times, any one of the keys will do")
}

// policyOf reads the keys of a flag; nil for none.
func policyOf(ctx context.Context, files []string) (*trust.Policy, error) {
	if len(files) == 0 {
		return nil, nil
	}
	keys, err := trust.ReadKeys(ctx, files...)
	if err != nil {
		return nil, err
	}
	return trust.New(keys...)
}

// signature is the JSON form of one that counts.
type signature struct {
	Image       digest.Digest `json:"image"`
	Manifest    digest.Digest `json:"manifest"` // that holds it
	Format      string        `json:"format"`
	Key         string        `json:"key"`         // the name of its file
	Fingerprint string        `json:"fingerprint"` // of the key, SHA-256 in hex
}

// signatures checks that what name means is signed: of a root that alone is named, each of
// its images.
func signatures(ctx context.Context, policy *trust.Policy, g ipfs.Getter, name ref.Name) (all []signature, err error) {
	l, err := layout.Open(ctx, ipfs.Verified(g), name.Root)
	if err != nil {
		return nil, err
	}
	var digests []digest.Digest
	if name.Plain() {
		images, err := l.Images(ctx)
		if err != nil {
			return nil, err
		}
		for _, image := range images {
			digests = append(digests, image.Descriptor.Digest)
		}
	} else {
		desc, err := l.Resolve(ctx, name)
		if err != nil {
			return nil, err
		}
		digests = append(digests, desc.Digest)
	}
	v, err := policy.Examine(ctx, l, digests...)
	if err != nil {
		return nil, err
	}
	if len(digests) == 0 {
		return nil, fmt.Errorf("%w: %s has no image", trust.ErrUntrusted, ref.Ciq(name.Root))
	}
	for _, d := range digests {
		if err := v.Check(d); err != nil {
			return nil, err
		}
		for _, s := range v.Signatures(d) {
			all = append(all, signature{s.Image, s.Manifest, s.Format, s.Key.Name, s.Key.Fingerprint})
		}
	}
	return all, nil
}

// tellSigned says who signed.
func tellSigned(cmd *cobra.Command, name ref.Name, all []signature) {
	for _, s := range all {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s is signed by %s, %s\n", ref.Ciq(name.Root), s.Image, oci.Quoted(s.Key), s.Format)
	}
	if len(all) == 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: below what is signed\n", ref.Ciq(name.Root))
	}
}
