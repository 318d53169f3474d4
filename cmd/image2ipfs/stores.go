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
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// storeOptions choose between the embedded node and Kubo.
type storeOptions struct {
	api string
}

func (o *storeOptions) storeFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.api, "api", "", "use the Kubo daemon whose RPC API is at this URL or multiaddr (default: $IPFS_API, or the daemon of $IPFS_PATH; else the embedded node)")
}

// open opens the store to publish on.
func (o *storeOptions) open(ctx context.Context) (ipfs.Store, error) {
	k, err := o.kubo(ctx)
	if k != nil || err != nil {
		return k, err
	}
	return openStore()
}

// openStore opens the embedded node's store.
func openStore() (*packstore.Store, error) {
	path, err := packstore.DefaultPath()
	if err != nil {
		return nil, err
	}
	return packstore.Open(path)
}

// existingStore opens the embedded node's store if there is one; the error
// matches [ipfs.ErrNotFound] if not.
func existingStore() (*packstore.Store, error) {
	path, err := packstore.DefaultPath()
	if err != nil {
		return nil, err
	}
	return packstore.OpenExisting(path)
}

// kubo connects to Kubo when it was asked for; nil otherwise.
func (o *storeOptions) kubo(ctx context.Context) (ipfs.Store, error) {
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

// stores are all that images may be read from: the embedded node's store,
// and Kubo when it was asked for.
type stores []ipfs.Store

func (o *storeOptions) openAll(ctx context.Context) (stores, error) {
	k, err := o.kubo(ctx)
	if err != nil {
		return nil, err
	}
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	if k == nil {
		return stores{store}, nil
	}
	return stores{store, k}, nil
}

// openExisting is openAll for commands that only read or remove: it makes no
// store. One that $IMAGE2IPFS_PATH names must be there unless there is Kubo.
func (o *storeOptions) openExisting(ctx context.Context) (stores, error) {
	k, err := o.kubo(ctx)
	if err != nil {
		return nil, err
	}
	var all stores
	store, err := existingStore()
	switch {
	case err == nil:
		all = stores{store}
	case !errors.Is(err, ipfs.ErrNotFound), k == nil && os.Getenv("IMAGE2IPFS_PATH") != "":
		return nil, err
	}
	if k != nil {
		all = append(all, k)
	}
	return all, nil
}

// store is the embedded node's, which is always there after openAll.
func (s stores) store() *packstore.Store {
	for _, store := range s {
		if store, ok := store.(*packstore.Store); ok {
			return store
		}
	}
	return nil
}

func (s stores) close() error {
	var errs []error
	for _, store := range s {
		errs = append(errs, store.Close())
	}
	return errors.Join(errs...)
}

// getter reads from all stores, in order.
func (s stores) getter() ipfs.Getter {
	var getters []ipfs.Getter
	for _, store := range s {
		getters = append(getters, store)
	}
	return ipfs.First(getters...)
}

// kept is a published root and the store that keeps it.
type kept struct {
	ipfs.Root
	store ipfs.Store
}

// roots lists what the stores keep. Beside an error that matches
// [ipfs.ErrIntegrity], which is about damaged records, the others are given.
func (s stores) roots(ctx context.Context) (all []kept, err error) {
	for _, store := range s {
		roots, failed := store.Roots(ctx)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("listing what the %s keeps: %w", store, failed))
		}
		if failed != nil && !errors.Is(failed, ipfs.ErrIntegrity) {
			return nil, err
		}
		for _, r := range roots {
			all = append(all, kept{r, store})
		}
	}
	return all, err
}

// isFatal tells whether an error of roots leaves nothing to go on with.
func isFatal(err error) bool { return err != nil && !errors.Is(err, ipfs.ErrIntegrity) }

// find gives the name that an argument means: any spelling of a pull name, or
// an image name ("app:1", "app"), which means the newest root that has it.
func (s stores) find(ctx context.Context, arg string) (ref.Name, error) {
	found, err := s.named(ctx, arg)
	if err != nil {
		return ref.Name{}, err
	}
	return found[len(found)-1], nil
}

// findOne is find, but refuses an image name that several roots have.
func (s stores) findOne(ctx context.Context, arg string) (ref.Name, error) {
	found, err := s.named(ctx, arg)
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

// knows refuses a name whose repository, tag or digest nothing in the layout
// has, even where a pull would not need it. A name alone leads to what it is of.
func knows(ctx context.Context, l *ipfs.Layout, name ref.Name) error {
	var there []string
	fits := name.Repository == ""
	for _, i := range oci.NewImages(l.Index).List() {
		for _, n := range i.Names {
			there = append(there, n.String())
			fits = fits || n.Repository == name.Repository && (name.Tag == "" || name.Tag == n.Tag)
		}
	}
	if !fits && len(there) > 0 {
		return fmt.Errorf("%w: %s holds %s, no %s", ipfs.ErrNotFound, ref.Ciq(name.Root), strings.Join(there, ", "), strings.TrimSuffix(name.Repository+":"+name.Tag, ":"))
	}
	if name.Digest == "" {
		return nil
	}
	all, err := oci.Walk(ctx, l, l.Index)
	if err != nil {
		return err
	}
	for _, b := range all.Blobs {
		if b.Digest == name.Digest {
			return nil
		}
	}
	return fmt.Errorf("%w: %s holds nothing with digest %s", ipfs.ErrNotFound, ref.Ciq(name.Root), name.Digest)
}

// named gives all that an argument can mean, the newest root last.
func (s stores) named(ctx context.Context, arg string) ([]ref.Name, error) {
	if name, err := ref.ParseName(arg); err == nil {
		return []ref.Name{name}, nil
	}
	roots, err := s.roots(ctx)
	if isFatal(err) {
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
	if len(found) == 0 && err != nil {
		return nil, err // the damaged record may be the one
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %q is neither a published image (image2ipfs ls) nor a name with a CID in it", ipfs.ErrNotFound, arg)
	}
	return found, nil
}

// layout opens the layout under a name, from any of the stores.
func (s stores) layout(ctx context.Context, name ref.Name) (*ipfs.Layout, error) {
	l, err := ipfs.OpenLayout(ctx, ipfs.Verified(s.getter()), name.Root)
	if errors.Is(err, ipfs.ErrNotFound) {
		err = fmt.Errorf("%s is not here (image2ipfs ls lists what is): %w", ref.Ciq(name.Root), err)
	}
	return l, err
}

// completeNames completes the published names on the command line.
func completeNames(o *storeOptions) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		all, err := o.openExisting(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer all.close()
		roots, err := all.roots(cmd.Context())
		if isFatal(err) {
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
