package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server"
)

// accessOptions are the flags of serve that say who may see what.
type accessOptions struct {
	allow           []string
	pinned          bool
	tlsCert, tlsKey string
	metrics         string
}

func (o *accessOptions) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.allow, "allow", nil, "serve this image only: a CID, a pull name, or a file with one on each line; may be given several times")
	f.BoolVar(&o.pinned, "pinned", false, "serve only what the own store keeps (with --allow: that as well)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "serve HTTPS with the certificate chain in this PEM file, read again when it changes")
	f.StringVar(&o.tlsKey, "tls-key", "", "PEM file with the key of --tls-cert")
	f.StringVar(&o.metrics, "metrics", "", "address for /metrics alone, such as 127.0.0.1:9100 (default: /metrics is on --addr)")
}

// apply puts the flags into a server's configuration.
func (o *accessOptions) apply(cfg *server.Config, all stores) (err error) {
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usageError{errors.New("--tls-cert and --tls-key belong together: one of them is missing")}
	}
	if o.tlsCert != "" {
		if cfg.TLS, err = server.TLS(o.tlsCert, o.tlsKey, cfg.Logger); err != nil {
			return err
		}
	}
	cfg.MetricsElsewhere = o.metrics != ""
	cfg.Stored = all.stored
	var limits []server.Allow
	if len(o.allow) > 0 {
		roots, err := allowedRoots(o.allow)
		if err != nil {
			return err
		}
		if len(roots) == 0 {
			return usageError{errors.New("--allow names no image: nothing would be served")}
		}
		limits = append(limits, server.Only(roots...))
	}
	if o.pinned {
		limits = append(limits, server.Pinned(all.pinned, cfg.Logger))
	}
	if len(limits) > 0 {
		cfg.Allow = server.AnyOf(limits...)
	}
	return nil
}

// allowedRoots reads the values of --allow.
func allowedRoots(values []string) ([]cid.Cid, error) {
	var roots []cid.Cid
	for _, value := range values {
		if name, err := ref.ParseName(value); err == nil {
			roots = append(roots, name.Root)
			continue
		}
		listed, err := rootsInFile(value)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usageError{fmt.Errorf("--allow %q is neither a name with a CID in it nor a file", value)}
		}
		if err != nil {
			return nil, fmt.Errorf("--allow: %w", err)
		}
		roots = append(roots, listed...)
	}
	return roots, nil
}

// rootsInFile reads a name from each line; empty lines and those that begin
// with # say nothing.
func rootsInFile(file string) ([]cid.Cid, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var roots []cid.Cid
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, err := ref.ParseName(line)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s, line %d: %w", file, number, err)}
		}
		roots = append(roots, name.Root)
	}
	return roots, nil
}

// pinned lists what the stores keep. One that does not answer does not hide
// what another keeps; records that cannot be read are told with
// [ipfs.ErrIntegrity].
func (e stores) pinned(ctx context.Context) ([]cid.Cid, error) {
	var all []cid.Cid
	var errs []error
	for _, store := range e {
		roots, err := store.Roots(ctx)
		errs = append(errs, err)
		for _, r := range roots {
			all = append(all, r.CID)
		}
	}
	return all, errors.Join(errs...)
}

// stored sums up what the stores keep, for /metrics.
func (e stores) stored(ctx context.Context) (server.Stored, error) {
	var sum server.Stored
	for _, store := range e {
		roots, err := store.Roots(ctx)
		if err != nil && !errors.Is(err, ipfs.ErrIntegrity) {
			return sum, err
		}
		for _, r := range roots {
			sum.Roots++
			sum.Bytes += r.Size
		}
	}
	return sum, nil
}
