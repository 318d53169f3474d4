package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/oci"
)

func newID() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "id",
		Short: "Print the peer ID of this machine's node, and where it is reached",
		Long: `Print the peer ID of the embedded node, then, while a server with peers runs on
its store, the addresses to give to --peers on other machines.

The ID belongs to a key in the store, which is made when there is none.`,
		Example: `  image2ipfs id
  image2ipfs id --json | jq -r '.addrs[]'`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := nodeIdentity(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(id)
			}
			fmt.Fprintln(cmd.OutOrStdout(), oci.Quoted(id.ID))
			for _, a := range id.Addrs {
				fmt.Fprintln(cmd.OutOrStdout(), oci.Quoted(a))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// nodeIdentity is who the node of the own store is.
func nodeIdentity(ctx context.Context) (id network.Identity, err error) {
	store, err := openStore()
	if err != nil {
		return id, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return network.ReadIdentity(ctx, store.Path())
}
