package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/ipfs/node"
	"github.com/image2ipfs/image2ipfs/ref"
)

// engineOptions choose between the embedded node and Kubo.
type engineOptions struct {
	api string
}

func (o *engineOptions) engineFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.api, "api", "", "use the Kubo daemon whose RPC API is at this URL or multiaddr (default: $IPFS_API, or the daemon of $IPFS_PATH; else the embedded node)")
}

// open opens the engine to publish on.
func (o *engineOptions) open(ctx context.Context) (ipfs.Engine, error) {
	k, err := o.kubo(ctx)
	if k != nil || err != nil {
		return k, err
	}
	return openStore()
}

// openStore opens the embedded node's store.
func openStore() (*node.Store, error) {
	path, err := node.DefaultPath()
	if err != nil {
		return nil, err
	}
	return node.Open(path)
}

// existingStore opens the embedded node's store if there is one; the error
// matches [ipfs.ErrNotFound] if not.
func existingStore() (*node.Store, error) {
	path, err := node.DefaultPath()
	if err != nil {
		return nil, err
	}
	return node.OpenExisting(path)
}

// kubo connects to Kubo when it was asked for; nil otherwise.
func (o *engineOptions) kubo(ctx context.Context) (ipfs.Engine, error) {
	api, asked := kubo.FromEnvironment(o.api)
	if !asked {
		return nil, nil
	}
	k, err := kubo.Dial(ctx, api)
	if err != nil && !errors.Is(err, ipfs.ErrUnavailable) && ctx.Err() == nil {
		return nil, usageError{err} // the address makes no sense
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// engines are all that images may be read from: the embedded node's store,
// and Kubo when it was asked for.
type engines []ipfs.Engine

func (o *engineOptions) openAll(ctx context.Context) (engines, error) {
	k, err := o.kubo(ctx)
	if err != nil {
		return nil, err
	}
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	if k == nil {
		return engines{store}, nil
	}
	return engines{store, k}, nil
}

// openExisting is openAll for commands that only read or remove: it makes no
// store. One that $IMAGE2IPFS_PATH names must be there unless there is Kubo.
func (o *engineOptions) openExisting(ctx context.Context) (engines, error) {
	k, err := o.kubo(ctx)
	if err != nil {
		return nil, err
	}
	var all engines
	store, err := existingStore()
	switch {
	case err == nil:
		all = engines{store}
	case !errors.Is(err, ipfs.ErrNotFound), k == nil && os.Getenv("IMAGE2IPFS_PATH") != "":
		return nil, err
	}
	if k != nil {
		all = append(all, k)
	}
	return all, nil
}

// store is the embedded node's, which is always there after openAll.
func (e engines) store() *node.Store {
	for _, engine := range e {
		if store, ok := engine.(*node.Store); ok {
			return store
		}
	}
	return nil
}

func (e engines) close() error {
	var errs []error
	for _, engine := range e {
		errs = append(errs, engine.Close())
	}
	return errors.Join(errs...)
}

// getter reads from all engines, in order.
func (e engines) getter() ipfs.Getter {
	var getters []ipfs.Getter
	for _, engine := range e {
		getters = append(getters, engine)
	}
	return ipfs.First(getters...)
}

// kept is a published root and the engine that keeps it.
type kept struct {
	ipfs.Root
	engine ipfs.Engine
}

func (e engines) roots(ctx context.Context) ([]kept, error) {
	var all []kept
	for _, engine := range e {
		roots, err := engine.Roots(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing what the %s keeps: %w", engine, err)
		}
		for _, r := range roots {
			all = append(all, kept{r, engine})
		}
	}
	return all, nil
}

// find gives the name that an argument means: any spelling of a pull name, or
// an image name ("app:1", "app"), which means the newest root that has it.
func (e engines) find(ctx context.Context, arg string) (ref.Name, error) {
	found, err := e.named(ctx, arg)
	if err != nil {
		return ref.Name{}, err
	}
	return found[len(found)-1], nil
}

// findOne is find, but refuses an image name that several roots have.
func (e engines) findOne(ctx context.Context, arg string) (ref.Name, error) {
	found, err := e.named(ctx, arg)
	if err != nil {
		return ref.Name{}, err
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var text strings.Builder
	for _, name := range found {
		fmt.Fprintf(&text, "\n  %s", ref.Ciq(name.Root))
	}
	return ref.Name{}, usageError{fmt.Errorf("%q was published %d times; name one of%s", arg, len(found), &text)}
}

// knows refuses a name whose repository or tag no image under its root has.
func (e engines) knows(ctx context.Context, name ref.Name) error {
	roots, err := e.roots(ctx)
	if err != nil {
		return err
	}
	for _, r := range roots {
		if name.Repository == "" || len(r.Names) == 0 || ref.Ciq(r.CID) != ref.Ciq(name.Root) {
			continue
		}
		fits := slices.ContainsFunc(r.Names, func(n string) bool {
			repository, tag, _ := ref.CutTag(n)
			return repository == name.Repository && (name.Tag == "" || name.Tag == tag)
		})
		if !fits {
			return usageError{fmt.Errorf("%s holds %s, no %s", ref.Ciq(r.CID), strings.Join(r.Names, ", "), strings.TrimSuffix(name.Repository+":"+name.Tag, ":"))}
		}
	}
	return nil
}

// named gives all that an argument can mean, the newest root last.
func (e engines) named(ctx context.Context, arg string) ([]ref.Name, error) {
	if name, err := ref.ParseName(arg); err == nil {
		return []ref.Name{name}, nil
	}
	roots, err := e.roots(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(roots, func(a, b kept) int { return a.Published.Compare(b.Published) })
	wanted := ref.TrimHost(arg)
	var found []ref.Name
	for _, r := range roots {
		for _, n := range r.Names {
			repository, tag, _ := ref.CutTag(n)
			known := slices.ContainsFunc(found, func(f ref.Name) bool { return f.Root.Equals(r.CID) })
			if (n == wanted || repository == wanted) && !known {
				found = append(found, ref.Name{Root: r.CID, Repository: repository, Tag: tag})
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %q is neither a published image (image2ipfs ls) nor a name with a CID in it", ipfs.ErrNotFound, arg)
	}
	return found, nil
}

// layout opens the layout under a name, from any of the engines.
func (e engines) layout(ctx context.Context, name ref.Name) (*ipfs.Layout, error) {
	l, err := ipfs.OpenLayout(ctx, ipfs.Verified(e.getter()), name.Root)
	if errors.Is(err, ipfs.ErrNotFound) {
		err = fmt.Errorf("%s is not here (image2ipfs ls lists what is): %w", ref.Ciq(name.Root), err)
	}
	return l, err
}

// completeNames completes the published names on the command line.
func completeNames(o *engineOptions) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		all, err := o.openExisting(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer all.close()
		roots, err := all.roots(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, r := range roots {
			names = append(names, ref.Ciq(r.CID))
			names = append(names, r.Names...)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
