package main

import (
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/setup"
	"github.com/image2ipfs/image2ipfs/setup/doctor"
)

func newHealth() *cobra.Command {
	server := setup.DefaultServer
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell whether a server is well, for health checks",
		Long: `Ask a server (image2ipfs serve) whether it is well, by /healthz. Nothing is printed
and the exit code is 0 when it is; 5 and what is wrong when it is not. It needs no
store, no shell and no curl: container engines and service managers call it.
What works and what does not on a machine as a whole is told by image2ipfs doctor.`,
		Example: `  image2ipfs health
  image2ipfs health --server https://registry.local:5000`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return doctor.Healthy(cmd.Context(), ref.RegistryURL(server))
		},
	}
	cmd.Flags().StringVar(&server, "server", server, "image2ipfs server to ask; its certificate may be anybody's")
	return cmd
}
