package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

func newVerify() *cobra.Command {
	opts := &engineOptions{}
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "verify NAME...",
		Short: "Read an image again and check every CID and digest",
		Long: `Read everything under a name again, check each block against its CID and each
blob against its digest, and that nothing is missing. All faults are reported.`,
		Example: `  image2ipfs verify app:1
  image2ipfs ls -q | xargs image2ipfs verify`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			all, err := opts.openAll(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.close()) }()
			var faults []error
			for _, arg := range args {
				faults = append(faults, verify(cmd, all, arg, asJSON, quiet))
			}
			return errors.Join(faults...)
		},
	}
	opts.engineFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each name")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print failures only")
	return cmd
}

func verify(cmd *cobra.Command, all engines, arg string, asJSON, quiet bool) error {
	name, err := all.find(cmd.Context(), arg)
	if err != nil {
		return err
	}
	p := newProgress(cmd.ErrOrStderr(), ref.Ciq(name.Root), -1, quiet || asJSON)
	v, err := ipfs.Verify(cmd.Context(), all.getter(), name.Root, p.add)
	p.done()
	if asJSON {
		out := struct {
			Root ref.Spellings `json:"root"`
			OK   bool          `json:"ok"`
			ipfs.Verification
			Error string `json:"error,omitempty"`
		}{Root: ref.Spell(name.Root), OK: err == nil, Verification: v}
		if err != nil {
			out.Error = err.Error()
		}
		return errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(out))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ref.Ciq(name.Root), err)
	}
	if !quiet {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d blobs, %s, all CIDs and digests right\n", ref.Ciq(name.Root), v.Blobs, bytesText(v.Bytes))
	}
	return nil
}
