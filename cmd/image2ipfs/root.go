package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/server/settings"
)

// version is set by the linker.
var version = "0.2.0-dev"

// newRoot is the whole command. Called without a subcommand it is the client.
// All that it prints goes through a [printer].
func newRoot(out, errs io.Writer) *cobra.Command {
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

		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       usage(noCommand),
		PersistentPreRunE:          refuseEmpty,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runPublish(cmd, opts, []string{opts.input})
			if errors.Is(err, errTerminal) && cmd.Flags().NFlag() == 0 {
				return usageError{fmt.Errorf("%w\n\n%s", err, introduction)}
			}
			return err
		},
	}
	opts.clientFlags(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'", settings.Refused(err), cmd.CommandPath())}
	})
	root.SetVersionTemplate("image2ipfs {{.Version}}\n")
	root.SetOut(&printer{to: out})
	root.SetErr(&printer{to: errs})
	root.AddCommand(
		newClient(), newPublish(), newServe(),
		newPull(), newConvert(),
		newLs(), newTag(), newUntag(), newName(), newInspect(), newVerify(), newRm(), newPin(), newService(), newGC(), newDu(), newBackup(), newRestore(), newRef(),
		newID(), newPeers(), newWhere(), newSwarmKey(),
		newSetup(), newDoctor(), newConfig(), newHealth(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = usage(isCommand)
		case "completion":
			c.Args = usage(isShell)
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

// introduction is for who calls the command to see what it is.
const introduction = `image2ipfs publishes container images on IPFS and serves them to every container engine.

  docker save app:1 | image2ipfs      publish an image, print the name to pull it by
  image2ipfs serve                    serve what is published as a registry
  docker pull localhost:5000/ciq…/app
  image2ipfs pull ciq…/app            bring an image to an engine, or into a file
  image2ipfs --help                   all commands`

// noCommand refuses what stands where a command could.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if _, err := os.Stat(args[0]); err == nil {
		return fmt.Errorf("unknown command %q; to publish that file: image2ipfs publish %s", args[0], args[0])
	}
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return fmt.Errorf("unknown command %q; %s?", args[0], strings.Join(like, " or "))
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// noArguments refuses any argument.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is one argument too many", args[0])
	}
	return nil
}

// isShell refuses shells that there is no completion for.
func isShell(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("there is no completion for %q: want bash, zsh, fish or powershell", args[0])
	}
	return nil
}

// isCommand refuses the name of a command that there is not.
func isCommand(cmd *cobra.Command, args []string) error {
	if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return fmt.Errorf("there is no command %q", strings.Join(args, " "))
	}
	return nil
}

// exactly takes n arguments, and says otherwise which these are, by the command's Use.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		_, names, _ := strings.Cut(cmd.Use, " ")
		found := "none of it"
		if len(args) > 0 {
			found = fmt.Sprintf("%q", args)
		}
		return fmt.Errorf("expected %s %s, found %s", cmd.CommandPath(), names, found)
	}
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
