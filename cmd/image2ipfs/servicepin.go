package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/ipfs/pinning"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// pinPrefix begins the names of pins that are made here.
const pinPrefix = "image2ipfs:"

// serviceOption is the flag of who keeps an image elsewhere.
type serviceOption struct {
	name   string
	noWait bool
}

func (o *serviceOption) flag(cmd *cobra.Command, flag, what string) {
	cmd.Flags().StringVar(&o.name, flag, "", what+" (image2ipfs service ls lists them)")
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return completeServices(cmd, nil, text)
	})
}

// servicePin is the JSON form of a pin that a service has.
type servicePin struct {
	Root    ref.Spellings     `json:"root"`
	Service string            `json:"service"`
	ID      string            `json:"id"` // of the request
	Name    string            `json:"name,omitempty"`
	Status  string            `json:"status"`
	Created *time.Time        `json:"created,omitempty"`
	Info    map[string]string `json:"info,omitempty"`
}

func newServicePin(service string, p pinning.Pin) servicePin {
	out := servicePin{Root: ref.Spell(p.CID), Service: service, ID: p.ID, Name: p.Name, Status: string(p.Status), Info: p.Info}
	if !p.Created.IsZero() {
		out.Created = &p.Created
	}
	return out
}

// client opens the service; dir is the own store's.
func (o *serviceOption) client() (c *pinning.Client, dir string, err error) {
	known, dir, err := services(false)
	if err != nil {
		return nil, "", err
	}
	s, err := known.Get(o.name)
	if err != nil {
		return nil, "", err
	}
	return pinning.New(s), dir, nil
}

// advised says what to do about a token that is refused.
func (o *serviceOption) advised(err error) error {
	if errors.Is(err, pinning.ErrToken) {
		return fmt.Errorf("%w; image2ipfs service add --replace %s URL takes another token", err, o.name)
	}
	return err
}

// namesOfRoot are those under which a root is kept here.
func namesOfRoot(ctx context.Context, all stores, root cid.Cid) ([]string, error) {
	kept, err := all.Roots(ctx)
	if local.IsFatal(err) {
		return nil, err
	}
	for _, k := range kept {
		if k.CID.Equals(root) {
			return k.Names, nil
		}
	}
	return nil, nil
}

// pin asks the service to keep a root, unless it does, and waits until it does.
func (o *serviceOption) pin(cmd *cobra.Command, root cid.Cid, names []string, quiet bool) (pinning.Pin, error) {
	ctx := cmd.Context()
	c, dir, err := o.client()
	if err != nil {
		return pinning.Pin{}, err
	}
	p, err := o.known(ctx, c, root)
	if err == nil && p.Status != pinning.Pinned {
		origins := serviceOrigins(cmd, dir, quiet)
		switch {
		case p.ID == "":
			p, err = c.Add(ctx, root, pinName(names), origins)
		case slices.ContainsFunc(origins, func(a string) bool { return !slices.Contains(p.Origins, a) }): // it looks elsewhere so far
			p, err = c.Replace(ctx, p.ID, root, pinName(names), origins)
		}
	}
	if err != nil {
		return p, o.advised(err)
	}
	if !p.Status.Ended() && len(p.Delegates) > 0 {
		dialDelegates(cmd, dir, p.Delegates, quiet)
	}
	tell := func(p pinning.Pin) {
		if quiet {
			return
		}
		text := ""
		if info := pinning.InfoText(p.Info); info != "" {
			text = " (" + info + ")"
		}
		if p.Err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s is asked for again: %v\n", o.name, ref.Ciq(root), p.Err)
			return
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s %s%s\n", o.name, ref.Ciq(root), oci.Quoted(string(p.Status)), text)
	}
	if o.noWait {
		tell(p)
		if p.Status == pinning.Failed {
			return c.Wait(ctx, p, func(pinning.Pin) {}) // says why
		}
		return p, nil
	}
	p, err = c.Wait(ctx, p, tell)
	if errors.Is(err, pinning.ErrFailed) {
		err = fmt.Errorf("%w\nimage2ipfs pin rm --service %s %s takes the request back; then try again", err, o.name, ref.Ciq(root))
	}
	return p, o.advised(err)
}

// pinName is what a pin of an image with some names is called: all of them that have room.
func pinName(names []string) string {
	name := pinPrefix
	for i, n := range names {
		if i > 0 {
			n = "," + n
		}
		if i > 0 && len(name)+len(n) > pinning.MaxName {
			break
		}
		name += n
	}
	return name
}

// known is a pin of ours that the service has already, or is about to have.
func (o *serviceOption) known(ctx context.Context, c *pinning.Client, root cid.Cid) (pinning.Pin, error) {
	there, err := c.List(ctx, root)
	if err != nil {
		return pinning.Pin{}, err
	}
	for _, p := range there {
		if p.CID.Equals(root) && strings.HasPrefix(p.Name, pinPrefix) && p.Status != pinning.Failed {
			return p, nil
		}
	}
	return pinning.Pin{}, nil
}

// serviceOrigins are the addresses at which the service gets the image: those of the
// server that runs on the store.
func serviceOrigins(cmd *cobra.Command, dir string, quiet bool) []string {
	id, err := network.ReadIdentity(cmd.Context(), dir)
	if err == nil && id.Running && len(id.Addrs) > 0 {
		return id.Addrs
	}
	if !quiet {
		cmd.PrintErrln("no server with peers runs on this store, so the service looks for the image on its own: image2ipfs serve --public, or --swarm-listen, lets it come here")
	}
	return nil
}

// dialDelegates has the server that runs on the store connect to those that fetch.
func dialDelegates(cmd *cobra.Command, dir string, addrs []string, quiet bool) {
	d, err := network.Dial(cmd.Context(), dir, addrs)
	switch {
	case quiet || errors.Is(err, ipfs.ErrUnavailable): // nobody is there to dial, which was told
	case err != nil:
		cmd.PrintErrf("the service's nodes were not dialled: %v\n", err)
	case d.Error != "" && len(d.Peers) == 0:
		cmd.PrintErrf("none of the service's nodes was reached from here, so they have to reach this one: %s\n", d.Error)
	}
}

// add asks the service to keep what names mean.
func (o *serviceOption) add(cmd *cobra.Command, pins *pinOptions, args []string) (err error) {
	all, err := pins.openExisting(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	for _, arg := range args {
		name, err := pins.find(cmd, all, arg)
		if err != nil {
			return err
		}
		names, err := namesOfRoot(cmd.Context(), all, name.Root)
		if err != nil {
			return err
		}
		p, err := o.pin(cmd, name.Root, names, pins.quiet || pins.json)
		if err != nil {
			return err
		}
		if pins.json {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(newServicePin(o.name, p))
		} else {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(name.Root))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list lists what the service keeps of what can be an image's root.
func (o *serviceOption) list(cmd *cobra.Command, asJSON, quiet bool) error {
	c, _, err := o.client()
	if err != nil {
		return err
	}
	pins, err := c.List(cmd.Context())
	if err != nil {
		return o.advised(err)
	}
	pins = slices.DeleteFunc(pins, func(p pinning.Pin) bool { // such as those of SHA-512
		_, err := ref.ParseRoot(p.CID.String())
		return err != nil
	})
	out := cmd.OutOrStdout()
	if asJSON {
		list := []servicePin{}
		for _, p := range pins {
			list = append(list, newServicePin(o.name, p))
		}
		return json.NewEncoder(out).Encode(list)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if !quiet {
		fmt.Fprintln(w, "ROOT\tSTATUS\tNAME\tSINCE\tINFO")
	}
	for _, p := range pins {
		if quiet {
			fmt.Fprintln(out, ref.Ciq(p.CID))
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", ref.Ciq(p.CID), oci.Quoted(string(p.Status)), orDash(oci.Quoted(p.Name)), p.Created.Local().Format(time.DateTime), orDash(pinning.InfoText(p.Info)))
	}
	return w.Flush()
}

// remove has the service let go of what was pinned from here of the roots that names mean.
func (o *serviceOption) remove(cmd *cobra.Command, from *storeOptions, args []string, asJSON bool) (err error) {
	all, err := from.openExisting(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	c, _, err := o.client()
	if err != nil {
		return err
	}
	for _, arg := range args {
		name, err := from.findListed(cmd, all, arg)
		if err != nil {
			return err
		}
		there, err := c.List(cmd.Context(), name.Root)
		if err != nil {
			return o.advised(err)
		}
		var gone []string
		for _, p := range there {
			if !p.CID.Equals(name.Root) || !strings.HasPrefix(p.Name, pinPrefix) {
				continue
			}
			if err := c.Remove(cmd.Context(), p.ID); err != nil && !errors.Is(err, ipfs.ErrNotFound) {
				return o.advised(err)
			}
			gone = append(gone, strings.Split(strings.TrimPrefix(p.Name, pinPrefix), ",")...)
		}
		if gone == nil {
			return fmt.Errorf("%w: %s keeps no %s that was pinned from here (%d pins of it have other names)", ipfs.ErrNotFound, o.name, ref.Ciq(name.Root), len(there))
		}
		if asJSON {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(removed{Root: ref.Spell(name.Root), Names: gone})
		} else {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), ref.Ciq(name.Root))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
