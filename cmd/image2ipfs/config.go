package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/server/settings"
)

// unset are the flags of serve that have no setting.
var unset = []string{"config", "help"}

// secret are the settings whose values are not shown.
var secret = map[string]bool{"api-auth": true}

// configured gives the flags of serve that were not given from the environment and
// the file that --config or its variable names.
func (o *serveOptions) configured(cmd *cobra.Command) error {
	given, err := applySettings(cmd.Context(), cmd, o.configFile)
	if err != nil {
		tellStrangers(cmd, cmd)
		return seeSettings(err)
	}
	o.remember(cmd.Flags(), given)
	return nil
}

// seeSettings says where an error about settings can be looked into.
func seeSettings(err error) error {
	return usageError{fmt.Errorf("%w\nSee 'image2ipfs config ls'", err)}
}

// tellStrangers tells of variables that look like settings of serve and are none, on the
// standard error of out. The server's log tells them by logStrangers.
func tellStrangers(out, serve *cobra.Command) {
	for _, name := range settings.Strangers("serve", serve.Flags()) {
		out.PrintErrf("warning: $%s is no setting of serve\n", oci.Quoted(name))
	}
}

// logStrangers is tellStrangers in a log.
func logStrangers(log *slog.Logger, serve *cobra.Command) {
	for _, name := range settings.Strangers("serve", serve.Flags()) {
		log.Warn("a variable is no setting of serve", "variable", name)
	}
}

// applySettings gives serve's flags from a file, unless its name is "", and from
// the environment.
func applySettings(ctx context.Context, serve *cobra.Command, file string) (map[string]settings.Origin, error) {
	if err := refuseEmptyVariables(serve.Flags(), file); err != nil {
		return nil, err
	}
	if file == "" {
		file = os.Getenv(settings.Variable("serve", "config"))
	}
	from, err := settings.Apply(ctx, "serve", serve.Flags(), file, unset...)
	if err != nil {
		return nil, usageError{err}
	}
	return from, nil
}

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and list the settings of serve",
		Long: `Every flag of serve can be set in a file (TOML) that serve --config names, and in
the environment: --log-format is log-format = "json" there, and
IMAGE2IPFS_SERVE_LOG_FORMAT=json. A flag that is given is stronger than the
environment, and that than the file. A variable that is empty counts as none; "" and []
in one are an empty text and an empty list, as in the file, and off switches gc,
gc-unused and scrub off. What protects (allow, require-signature, htpasswd, auth-read,
pinned, swarm-key, certificates and their keys) is refused where its variable or its flag
is there and empty, since that is how one that nobody has set looks.`,
		Args: usage(noCommand),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(), newConfigLs(), newConfigExample())
	return cmd
}

// settingsOfServe reads a file, or that of the environment if there is no argument.
func settingsOfServe(cmd *cobra.Command, args []string) ([]settings.Setting, *serveOptions, error) {
	file := ""
	if len(args) > 0 {
		file = args[0]
	}
	opts := &serveOptions{}
	serve := newServeOf(opts)
	tellStrangers(cmd, serve)
	from, err := applySettings(cmd.Context(), serve, file)
	if err != nil {
		return nil, nil, seeSettings(err)
	}
	all := settings.List("serve", serve.Flags(), from)
	for i := range all {
		if secret[all[i].Name] && all[i].Value != "" {
			all[i].Value = "(not shown)"
		}
	}
	return all, opts, nil
}

func newConfigCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a file of settings",
		Long: `Check a file of settings, or that of $IMAGE2IPFS_SERVE_CONFIG, and the variables of
the environment, as serve does before it starts: that all are known, that each value
makes sense, and that they go together. Nothing is started, no file that they name is
read, and sockets that systemd opens are not known.`,
		Example: `  image2ipfs config check /etc/image2ipfs/serve.toml`,
		Args:    usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, opts, err := settingsOfServe(cmd, args)
			if err != nil {
				return err
			}
			if err := opts.check(); err != nil {
				return err
			}
			count := 0
			for _, s := range all {
				if s.From != settings.FromDefault {
					count++
				}
			}
			text := fmt.Sprintf("%d settings are", count)
			if count == 1 {
				text = "1 setting is"
			}
			cmd.PrintErrf("%s given, all right\n", text)
			return nil
		},
	}
}

func newConfigLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [FILE]",
		Short: "List all settings, their values and where those are from",
		Example: `  image2ipfs config ls
  image2ipfs config ls --json serve.toml | jq -r '.[] | select(.from == "file") | .setting'`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, _, err := settingsOfServe(cmd, args)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "SETTING\tVALUE\tFROM")
			for _, s := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, orDash(oci.Quoted(s.Value)), s.From)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func newConfigExample() *cobra.Command {
	return &cobra.Command{
		Use:     "example",
		Short:   "Print a file with every setting, in comments",
		Example: `  image2ipfs config example > serve.toml`,
		Args:    usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			serve := newServe()
			from, err := settings.Apply(cmd.Context(), "", serve.Flags(), "", unset...) // no command: the environment says nothing of it
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), settings.Example(settings.List("serve", serve.Flags(), from)))
			return err
		},
	}
}
