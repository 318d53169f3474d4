// Containerd-pull pulls an image into containerd natively from IPFS: no
// registry stands between. It is an example of resolver.New.
//
//	containerd-pull -gateway http://127.0.0.1:8080 ciq…/app:1
//
// Blocks come from the store of image2ipfs on this machine, then from the
// gateways in turn, none of which is trusted; blobs of which nobody has the
// blocks come from the registries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/resolver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "containerd-pull:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	address := flag.String("address", "/run/containerd/containerd.sock", "containerd's socket")
	namespace := flag.String("namespace", "default", "containerd's namespace")
	store := flag.Bool("store", true, "read the store of image2ipfs on this machine")
	var gateways, registries urls
	flag.Var(&gateways, "gateway", "IPFS gateway; may be given several times")
	flag.Var(&registries, "registry", "registry that has the blobs; may be given several times")
	flag.Parse()
	if flag.NArg() != 1 {
		return errors.New("usage: containerd-pull [flags] NAME")
	}
	options := []resolver.Option{resolver.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil)))}
	if *store {
		s, failed := openStore()
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		options = append(options, resolver.WithStore(s))
	}
	for _, u := range gateways {
		g, err := gateway.New(u, gateway.Options{})
		if err != nil {
			return err
		}
		options = append(options, resolver.WithBlocks(g))
	}
	for _, u := range registries {
		g, err := resolver.NewRegistry(u)
		if err != nil {
			return err
		}
		options = append(options, resolver.WithBlobs(g))
	}
	r := resolver.New(options...)
	defer func() { err = errors.Join(err, r.Close()) }()
	return pull(namespaces.WithNamespace(ctx, *namespace), *address, flag.Arg(0), r)
}

func openStore() (*packstore.Store, error) {
	path, err := packstore.DefaultPath()
	if err != nil {
		return nil, err
	}
	return packstore.Open(path)
}

func pull(ctx context.Context, address, name string, r *resolver.Resolver) (err error) {
	client, err := containerd.New(address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	version, err := client.Version(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	// containerd's client parses the name before the resolver sees it: a name
	// with a scheme, or a tag right behind the CID, has to be completed first.
	full, _, err := r.Resolve(ctx, name)
	if err != nil {
		return err
	}
	image, err := client.Pull(ctx, full, containerd.WithResolver(r), containerd.WithPullUnpack)
	if err != nil {
		return err
	}
	size, err := image.Size(ctx)
	if err != nil {
		return err
	}
	unpacked, err := image.IsUnpacked(ctx, "")
	if err != nil {
		return err
	}
	fmt.Printf("%s\ncontainerd %s: %s, %d bytes, unpacked: %t, %s\n", image.Name(), version.Version, image.Target().Digest, size, unpacked, time.Since(began).Round(time.Millisecond))
	return nil
}

// urls is a flag that may be given several times.
type urls []string

func (u *urls) String() string     { return fmt.Sprint(*u) }
func (u *urls) Set(s string) error { *u = append(*u, s); return nil }
