package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

func newPin() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Keep whole images in the own store, or at a service, and serve them on",
		Long: `Keep whole images in the own store, and serve them on, or with --service have a
pinning service do so (image2ipfs service add makes one known).

What is published here is pinned as well. An image that is only pulled through
this machine lies in a cache of limited size and goes when it is not used.`,
		Example: `  image2ipfs pin add ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi/app
  image2ipfs pin ls
  image2ipfs pin add --service pins app:1
  image2ipfs pin rm app:1 && image2ipfs gc`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("pin what? add, rm or ls\nSee '%s --help'", cmd.CommandPath())}
		},
	}
	ls, rm := newLs(), newRm()
	ls.Aliases, rm.Aliases = []string{"list"}, []string{"remove"}
	ls.Short = "List what is kept"
	ls.Example = `  image2ipfs pin ls
  image2ipfs pin ls --json
  image2ipfs pin ls --service pins`
	rm.Short = "Do not keep images any longer"
	rm.Example = `  image2ipfs pin rm app:1 && image2ipfs gc
  image2ipfs pin rm --keep 1 app:1
  image2ipfs pin rm --service pins app:1`
	atService(ls, rm)
	cmd.AddCommand(newPinAdd(), rm, ls)
	return cmd
}

// atService gives the commands that list and remove a service in place of the stores.
func atService(ls, rm *cobra.Command) {
	var of, from serviceOption
	of.flag(ls, "service", "list what this pinning service keeps")
	from.flag(rm, "service", "have this pinning service let go of what was pinned from here")
	list, remove := ls.RunE, rm.RunE
	ls.RunE = func(cmd *cobra.Command, args []string) error {
		if of.name == "" {
			return list(cmd, args)
		}
		if len(args) > 0 {
			return usageError{errors.New("--service lists all that is kept there, and takes no NAME")}
		}
		f := cmd.Flags()
		return of.list(cmd, f.Lookup("json").Value.String() == "true", f.Lookup("quiet").Value.String() == "true")
	}
	rm.RunE = func(cmd *cobra.Command, args []string) error {
		if from.name == "" {
			return remove(cmd, args)
		}
		f := cmd.Flags()
		for _, rule := range []string{"all", "match", "untagged", "keep", "older", "dry-run"} {
			if f.Changed(rule) {
				return usageError{fmt.Errorf("--%s is not for --service: name what is to go", rule)}
			}
		}
		store := &storeOptions{api: f.Lookup("api").Value.String(), auth: f.Lookup("api-auth").Value.String()}
		return from.remove(cmd, store, args, f.Lookup("json").Value.String() == "true")
	}
}

// pinOptions are the flags of pin add.
type pinOptions struct {
	sourceOptions
	quiet   bool
	json    bool
	service serviceOption
}

func newPinAdd() *cobra.Command {
	opts := &pinOptions{}
	cmd := &cobra.Command{
		Use:   "add NAME...",
		Short: "Fetch whole images and keep them",
		Long: `Fetch whole images, all platforms and everything else in their layouts, from the
own store, Kubo, peers or gateways, none of which is trusted, and keep them in the own
store. What is there already, of an earlier version or of another image, is not
fetched again.

With --service a pinning service is asked to keep them instead, under the name
image2ipfs:NAMES, and it is told where the server is that runs on this store (serve
with peers), which dials the service's nodes. Each step is told: queued, pinning,
pinned or failed, and what the service says of it. Ctrl-C ends the waiting, and not
the pin.`,
		Example: `  image2ipfs pin add ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi/app
  image2ipfs pin add --gateway http://gateway.local:8080 ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi
  image2ipfs pin add --service pins app:1`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(&opts.storeOptions),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.service.name != "" {
				if err := notForService(cmd); err != nil {
					return err
				}
				return opts.service.add(cmd, opts, args)
			}
			if opts.service.noWait {
				return usageError{errors.New("--no-wait is for --service")}
			}
			return opts.run(cmd, args)
		},
	}
	opts.sourceFlags(cmd)
	opts.peers.flags(cmd.Flags())
	opts.moving.flags(cmd.Flags())
	opts.service.flag(cmd, "service", "have this pinning service keep the images")
	cmd.Flags().BoolVar(&opts.service.noWait, "no-wait", false, "with --service: do not wait until it has the image")
	cmd.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "print roots only")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print a JSON object for each image")
	return cmd
}

// notForService refuses flags of how this machine gets what a service is to get.
func notForService(cmd *cobra.Command) (err error) {
	for _, flag := range []string{"gateway", "peers", "mdns", "public", "routing"} {
		if cmd.Flags().Changed(flag) {
			return usageError{fmt.Errorf("--%s is not for --service, which gets the images by itself", flag)}
		}
	}
	return nil
}

// pinned is the JSON form of what was pinned.
type pinned struct {
	Root  ref.Spellings `json:"root"`
	Stats ipfs.Stats    `json:"stored"`
}

func (o *pinOptions) run(cmd *cobra.Command, args []string) (err error) {
	all, err := o.openAll(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	from, leave, err := o.fetching(cmd, all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	for _, arg := range args {
		name, err := o.find(cmd, all, arg)
		if err != nil {
			return err
		}
		l, err := layout.Open(cmd.Context(), from, name.Root)
		if err != nil {
			return o.unfound(all, name, err)
		}
		if err := l.Check(cmd.Context(), name); err != nil {
			return err
		}
		stats, err := keep(cmd, all, from, l, o.quiet || o.json)
		if err != nil {
			return fmt.Errorf("pinning %s: %w", ref.Ciq(name.Root), err)
		}
		if err := o.report(cmd, name, stats); err != nil {
			return err
		}
	}
	return nil
}

// find finds the root that an argument means.
func (o *pinOptions) find(cmd *cobra.Command, all stores, arg string) (ref.Name, error) {
	if n, ok := o.moving.parse(arg); ok {
		return o.findMoving(cmd, all, n, o.quiet || o.json)
	}
	found, err := findOne(cmd.Context(), all, arg)
	return found.Name, err
}

func (o *pinOptions) report(cmd *cobra.Command, name ref.Name, stats ipfs.Stats) error {
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(pinned{Root: ref.Spell(name.Root), Stats: stats})
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(name.Root))
	return err
}
