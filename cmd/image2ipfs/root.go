package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "0.2.0-dev"

// newRoot is the whole command. Called without a subcommand it is the client.
func newRoot(out io.Writer) *cobra.Command {
	opts := &publishOptions{}
	root := &cobra.Command{
		Use:   "image2ipfs",
		Short: "Container images over IPFS",
		Long: `image2ipfs publishes container images on IPFS and serves them to every
container engine.

Called without a subcommand it reads an image archive from standard input,
publishes it on the embedded IPFS node and prints the name to pull it by.

` + exitCodeHelp,
		Example: `  docker save app:1 | image2ipfs
  image2ipfs serve &
  docker pull "$(docker save app:1 | image2ipfs -q)"`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPublish(cmd, opts, []string{opts.input})
		},
	}
	opts.clientFlags(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
	})
	root.SetVersionTemplate("image2ipfs {{.Version}}\n")
	root.SetOut(out)
	root.AddCommand(
		newClient(), newPublish(), newServe(),
		newPull(), newConvert(),
		newLs(), newInspect(), newVerify(), newRm(), newPin(), newGC(), newRef(),
		newID(), newPeers(),
		newSetup(), newDoctor(),
	)
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Args = usage(isCommand)
		}
	}
	return root
}

// isCommand refuses the name of a command that there is not.
func isCommand(cmd *cobra.Command, args []string) error {
	if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return fmt.Errorf("there is no command %q", strings.Join(args, " "))
	}
	return nil
}

// usage makes errors about arguments usage errors.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
		}
		return nil
	}
}
