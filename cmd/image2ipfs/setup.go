package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/setup"
)

// setupOptions are the flags of setup.
type setupOptions struct {
	setup.Options
	yes    bool
	asJSON bool
}

const setupHelp = `Configure a container engine so that names with a CID in them and no host in
front, as in docker pull ciq…/app, are pulled through the local server (image2ipfs
serve). Names without a CID get one quick 404 there, and the engine goes on to
their registry as before, also when the server does not run.

ENGINE is one of:
  docker      registry-mirrors in daemon.json
  containerd  hosts.toml for docker.io and _default in certs.d (for _default alone
              where that has rules, which docker.io goes by), and CRI's
              config_path in config.toml or the file that it imports (Kubernetes)
  nerdctl     the same hosts.toml files
  podman      a mirror of docker.io in registries.conf or registries.conf.d
  k3s, rke2   an endpoint of docker.io in registries.yaml
  microk8s    hosts.toml in its certs.d
  k0s         hosts.toml, and config_path in a drop-in of k0s
  stargz      stargz-snapshotter for lazy pulls by containerd, nerdctl and K3s: its
              own config.toml, and containerd's, or K3s's config.yaml. It takes layers
              alone: set up containerd, nerdctl or k3s, too

The files are those that the engine reads: by its unit, its command line, the
user's directories. Where the engine's own program is here it is asked how it
reads the result, and a result that it does not take is taken back. What cannot
be changed without changing where other names go is refused: the message names
the line that stands in the way and what to write by hand.

The change is shown as a diff, and written only with --yes. Everything that is
in the files stays; the file as it was is kept beside it with the ending
.image2ipfs-backup (stargz: .image2ipfs-stargz-backup), which is never replaced, and what setup has put in is noted in a file that ends with
.image2ipfs.json. --undo --yes takes that out, and nothing else, also when other
things have changed since. image2ipfs doctor tries it out.

With --certs-only containerd's and k0s's own configuration stays as it is, and
nothing has to be restarted: where config_path is not set it fails and says what to
write. So the DaemonSet of deploy/kubernetes sets up its nodes.

` + exitCodeHelp

func newSetup() *cobra.Command {
	opts := &setupOptions{}
	cmd := &cobra.Command{
		Use:   "setup ENGINE",
		Short: "Let an engine pull ciq… names without a host",
		Long:  setupHelp,
		Example: `  image2ipfs setup docker
  sudo image2ipfs setup docker --yes && sudo systemctl reload docker
  sudo image2ipfs setup containerd --yes --server http://registry.local:5000
  sudo image2ipfs setup stargz --yes
  image2ipfs setup containerd --certs-only --yes
  image2ipfs setup docker --undo --yes`,
		Args:      usage(exactly(1)),
		ValidArgs: setup.Engines,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Engine = args[0]
			if !cmd.Flags().Changed("rootless") && opts.Root == "" {
				opts.Rootless = setup.Rootless(opts.Engine)
			}
			return opts.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Server, "server", setup.DefaultServer, "image2ipfs server, as the engine reaches it")
	f.BoolVarP(&opts.yes, "yes", "y", false, "write; without it the change is only shown")
	f.BoolVar(&opts.Undo, "undo", false, "take out what setup has put in")
	f.StringVar(&opts.Config, "config", "", "the engine's file: daemon.json, config.toml, nerdctl.toml, registries.conf or registries.yaml, for stargz config.toml of containerd or config.yaml of K3s (default: where the engine looks)")
	f.StringVar(&opts.HostsDir, "hosts-dir", "", "certs.d of containerd and nerdctl (default: what their configuration says)")
	f.StringVar(&opts.Root, "root", "", "directory that the engine sees as /, such as a chroot; never left, by links neither")
	f.BoolVar(&opts.Rootless, "rootless", false, "the user's own engine, files below the home directory (default: when there is one)")
	f.BoolVar(&opts.CertsOnly, "certs-only", false, "containerd, k0s: write certs.d alone, and fail where config_path does not name it")
	f.BoolVar(&opts.asJSON, "json", false, "print a JSON object")
	return cmd
}

func (o *setupOptions) run(cmd *cobra.Command) error {
	plan, err := setup.New(o.Options)
	if errors.Is(err, setup.ErrInvalid) {
		return usageError{err}
	}
	if err == nil && o.yes {
		err = plan.Write(cmd.Context())
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w\nNothing was written. These files need root: sudo %s", err, strings.Join(again(cmd, o), " "))
	}
	if err != nil {
		return err
	}
	if o.asJSON {
		return printPlanJSON(cmd, plan, o.yes)
	}
	return o.print(cmd, plan)
}

// again is the same command for the user to call once more, each word as a shell takes it.
func again(cmd *cobra.Command, o *setupOptions) []string {
	args := []string{cmd.CommandPath(), o.Engine}
	if o.Server != setup.DefaultServer {
		args = append(args, "--server", o.Server)
	}
	for _, f := range []struct{ name, value string }{{"config", o.Config}, {"hosts-dir", o.HostsDir}, {"root", o.Root}} {
		if f.value != "" {
			args = append(args, "--"+f.name, f.value)
		}
	}
	if cmd.Flags().Changed("rootless") {
		args = append(args, fmt.Sprintf("--rootless=%t", o.Rootless))
	}
	if o.CertsOnly {
		args = append(args, "--certs-only")
	}
	if o.Undo {
		args = append(args, "--undo")
	}
	args = append(args, "--yes")
	for i, arg := range args {
		if i > 0 && !plainWord.MatchString(arg) {
			args[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return args
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// print shows the diff on standard output and all else on standard error.
func (o *setupOptions) print(cmd *cobra.Command, plan *setup.Plan) error {
	out, human := cmd.OutOrStdout(), cmd.ErrOrStderr()
	for _, c := range plan.Changes {
		if _, err := fmt.Fprint(out, c.Diff()); err != nil {
			return err
		}
	}
	for _, n := range plan.Notes {
		fmt.Fprintln(human, "Note:", n)
	}
	if len(plan.Changes) == 0 {
		fmt.Fprintf(human, "%s: nothing to write\n", plan.Engine)
		for _, n := range plan.Next {
			fmt.Fprintln(human, "Next:", n)
		}
		return nil
	}
	if !o.yes {
		fmt.Fprintf(human, "Nothing was written. To write this: %s\n", strings.Join(again(cmd, o), " "))
		return nil
	}
	for _, c := range plan.Changes {
		fmt.Fprintf(human, "%sd %s%s\n", c.Action(), c.Path, backupText(c, o.Undo))
	}
	for _, n := range plan.Next {
		fmt.Fprintln(human, "Next:", n)
	}
	if !o.Undo {
		fmt.Fprintf(human, "Try it, while image2ipfs serve runs: image2ipfs doctor %s\n", strings.Join(o.doctorArgs(), " "))
	}
	return nil
}

// doctorArgs are those by which doctor looks at what was set up.
func (o *setupOptions) doctorArgs() []string {
	args := []string{o.Engine}
	if o.Server != setup.DefaultServer {
		args = append(args, "--server", o.Server)
	}
	if o.HostsDir != "" {
		args = append(args, "--hosts-dir", o.HostsDir)
	}
	return args
}

func backupText(c setup.Change, undo bool) string {
	switch {
	case c.Backup == "":
		return ""
	case undo:
		return ", as it was before; removed " + c.Backup
	}
	return ", as it was: " + c.Backup
}

// changeJSON is the JSON form of a change.
type changeJSON struct {
	Path   string `json:"path"`
	Action string `json:"action"`
	Diff   string `json:"diff"`
	Backup string `json:"backup,omitempty"`
}

// planJSON is the JSON form of what setup changes.
type planJSON struct {
	Engine  string       `json:"engine"`
	Server  string       `json:"server"`
	Undo    bool         `json:"undo"`
	Written bool         `json:"written"`
	Changes []changeJSON `json:"changes"`
	Notes   []string     `json:"notes"`
	Next    []string     `json:"next"`
}

func printPlanJSON(cmd *cobra.Command, plan *setup.Plan, written bool) error {
	out := planJSON{plan.Engine, plan.Server, plan.Undo, written && len(plan.Changes) > 0, []changeJSON{}, append([]string{}, plan.Notes...), append([]string{}, plan.Next...)}
	for _, c := range plan.Changes {
		out.Changes = append(out.Changes, changeJSON{c.Path, c.Action(), c.Diff(), c.Backup})
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(out)
}
