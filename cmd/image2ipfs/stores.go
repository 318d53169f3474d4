package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// storeOptions choose between the embedded store and Kubo.
type storeOptions struct {
	api  string
	auth string
}

// apiAuthEnv is the environment variable in place of --api-auth.
const apiAuthEnv = "IPFS_API_AUTH"

func (o *storeOptions) storeFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.api, "api", "", "use the Kubo daemon whose RPC API is at this URL or multiaddr (default: $IPFS_API, or the daemon of $IPFS_PATH; else the embedded store)")
	cmd.Flags().StringVar(&o.auth, "api-auth", "", "what the Kubo daemon's API.Authorizations asks for, as its AuthSecret: bearer:TOKEN, basic:USER:PASSWORD, or @FILE that holds one of these (default: $"+apiAuthEnv+"; other users of this machine see flags, not files)")
}

// credentials are those of --api-auth, else of the environment.
func (o *storeOptions) credentials(ctx context.Context) (kubo.Credentials, error) {
	text := o.auth
	if text == "" {
		text = os.Getenv(apiAuthEnv)
	}
	c, err := kubo.ParseCredentials(ctx, text)
	if err != nil {
		err = usageError{err}
	}
	return c, err
}

// check refuses an address that is none, and credentials that are none where they are not in
// a file.
func (o *storeOptions) check() (err error) {
	if api := cmp.Or(o.api, os.Getenv("IPFS_API")); api != "" {
		if wrong := kubo.CheckAddress(api); wrong != nil {
			err = usageError{wrong}
		}
	}
	if !strings.HasPrefix(cmp.Or(o.auth, os.Getenv(apiAuthEnv)), "@") {
		_, wrong := o.credentials(context.Background()) // which is not read from a file
		err = errors.Join(err, wrong)
	}
	return err
}

// open opens the store to publish on.
func (o *storeOptions) open(ctx context.Context) (ipfs.Store, error) {
	k, err := o.kubo(ctx)
	if err != nil {
		return nil, err
	}
	if k != nil {
		return k, nil
	}
	return openStore()
}

// openStore opens the embedded store.
func openStore() (*packstore.Store, error) {
	path, err := packstore.DefaultPath()
	if err != nil {
		return nil, err
	}
	return packstore.Open(path)
}

// tellForeign says once what lies among the records of a store and is none.
func tellForeign(cmd *cobra.Command, store *packstore.Store) error {
	if store == nil {
		return nil
	}
	foreign, err := store.Foreign()
	if err != nil || len(foreign) == 0 {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "passed over %s\n", foreignText(foreign))
	return err
}

// foreignText names what is no record, and at most a few of many.
func foreignText(paths []string) string {
	return someText(paths) + ": no records of images"
}

// someText lists the first of many.
func someText(all []string) string {
	const most = 10
	text := strings.Join(all[:min(most, len(all))], ", ")
	if more := len(all) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// existingStore opens the embedded store if there is one; the error
// matches [ipfs.ErrNotFound] if not.
func existingStore() (*packstore.Store, error) {
	path, err := packstore.DefaultPath()
	if err != nil {
		return nil, err
	}
	return packstore.OpenExisting(path)
}

// kubo connects to Kubo when it was asked for; nil otherwise.
func (o *storeOptions) kubo(ctx context.Context) (*kubo.Store, error) {
	c, err := o.credentials(ctx)
	if err != nil {
		return nil, err
	}
	api, asked, err := kubo.FromEnvironment(o.api, c)
	if !asked || err != nil {
		return nil, err
	}
	k, err := kubo.Dial(ctx, api, c)
	if err != nil && !errors.Is(err, ipfs.ErrUnavailable) && ctx.Err() == nil {
		return nil, usageError{err} // the address makes no sense
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// stores are all that images may be read from.
type stores struct {
	local.Stores // own, and Kubo when it was asked for
	own          *packstore.Store
	kubo         *kubo.Store
	recorder     ipfs.Recorder // what is pushed goes there; nil without own
}

func newStores(own *packstore.Store, k *kubo.Store) stores {
	s := stores{own: own, kubo: k}
	if own != nil {
		s.Stores = append(s.Stores, own)
		s.recorder = own
	}
	switch {
	case k != nil && own != nil:
		r := k.Recorder(own)
		s.Stores = append(s.Stores, r)
		s.recorder = r
	case k != nil:
		s.Stores = append(s.Stores, k)
	}
	return s
}

func (o *storeOptions) openAll(ctx context.Context) (stores, error) {
	k, err := o.kubo(ctx)
	if err != nil {
		return stores{}, err
	}
	own, err := openStore()
	if err != nil {
		return stores{}, err
	}
	return newStores(own, k), nil
}

// openExisting is openAll for commands that only read or remove: it makes no
// store. One that $IMAGE2IPFS_PATH names must be there unless there is Kubo.
func (o *storeOptions) openExisting(ctx context.Context) (stores, error) {
	k, err := o.kubo(ctx)
	if err != nil {
		return stores{}, err
	}
	own, err := existingStore()
	if err != nil && (!errors.Is(err, ipfs.ErrNotFound) || k == nil && os.Getenv("IMAGE2IPFS_PATH") != "") {
		return stores{}, err
	}
	return newStores(own, k), nil
}

// findOne finds the one root that an argument means.
func findOne(ctx context.Context, all stores, arg string) (local.Match, error) {
	found, err := all.FindAll(ctx, arg)
	return onlyOne(arg, found, err, "")
}

// onlyOne is the one root that was found of an argument; hint says what else can be done
// where there are several.
func onlyOne(arg string, found []local.Match, err error, hint string) (local.Match, error) {
	m, err := local.One(arg, found, err)
	if several, ok := errors.AsType[*local.AmbiguousError](err); ok {
		err = usageError{fmt.Errorf("%w: %q was published %d times; name one of these by its CID%s\n%s", local.ErrAmbiguous, arg, len(several.Found), hint, datedRoots(several.Found))}
	}
	return m, err
}

// datedRoots lists roots by which people tell them apart.
func datedRoots(found []local.Match) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	for _, m := range found {
		size, published := sizeAndDate(m.Kept)
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", cmp.Or(looseText(m.Kept), ref.Ciq(m.Name.Root)), published, size, oci.Quoted(strings.Join(m.Names, ", ")))
	}
	_ = w.Flush() // a builder takes everything
	return strings.TrimRight(text.String(), "\n")
}

// keptText names what is kept: a root, or a manifest that none has.
func keptText(k local.Kept) string { return cmp.Or(looseText(k), ref.Ciq(k.CID)) }

// looseText names a manifest that no root has, "repository@digest"; "" for a root.
func looseText(k local.Kept) string {
	if k.Loose == nil {
		return ""
	}
	return k.Loose.String()
}

// sizeAndDate are those of a root for humans, "-" where the store does not know.
func sizeAndDate(k local.Kept) (size, published string) {
	size, published = "-", "-"
	if k.Size > 0 {
		size = oci.BytesText(k.Size)
	}
	if !k.Published.IsZero() {
		published = k.Published.Local().Format(time.DateTime)
	}
	return size, published
}

// completeNames completes the published names on the command line.
func completeNames(o *storeOptions) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		all, err := o.openExisting(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer all.Close()
		roots, err := all.Roots(cmd.Context())
		if local.IsFatal(err) {
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
