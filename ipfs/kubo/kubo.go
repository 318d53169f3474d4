// Package kubo keeps published layouts in a Kubo daemon, over its RPC API
// (https://docs.ipfs.tech/reference/kubo/rpc/) by way of go-ipfs-api.
//
// A publication is one dag/import request, during which Kubo collects no
// garbage; its root is then pinned under a name by which [Store.Roots] finds
// it again. Nothing here runs Kubo's own garbage collection: what is removed
// or abandoned stays until Kubo's owner sweeps it (`ipfs repo gc`, or
// `ipfs daemon --enable-gc`).
package kubo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	shell "github.com/ipfs/go-ipfs-api"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Ahead is how many blocks of a blob are asked of Kubo at once, whose socket each
// of them has to cross.
const Ahead = 16

// Time-outs and limits of a Kubo.
const (
	helloTimeout = 5 * time.Second  // for the first answer
	lookTimeout  = 2 * time.Second  // for the daemon that IPFS_PATH names
	probeTimeout = 5 * time.Second  // for its gateway
	undoTimeout  = 10 * time.Second // for the pin of a failed publication
	listGrace    = 5 * time.Second  // for the rest of a list of pins that nobody waits for
	// pinLeast is what a Kubo may take at least to pin a root: it may be collecting
	// garbage.
	pinLeast = 10 * time.Minute
	// silence is how long a Kubo may say nothing that is asked for what it has. One
	// that hangs must not stop those who would find it elsewhere.
	silence = 5 * time.Second
	// maxPut is the largest block: what peers exchange (the bitswap specification,
	// "Block Sizes"), and what a newer Kubo imports unless it is told otherwise.
	// Nothing here makes blocks above 1 MiB; layouts that others have added have them.
	maxPut = 2 << 20
	// maxBlock is what Kubo may send as a block.
	maxBlock = maxPut + 64<<10
)

// Store is a Kubo daemon; it implements [ipfs.Store] and is safe for
// concurrent use.
type Store struct {
	api     address
	version string
	client  *http.Client
	shell   *shell.Shell
	silence time.Duration
	pinTime func(sent int64) time.Duration // see the function pinTime
	holds   holds
	cluster cluster // for a proxy of IPFS Cluster in place of a Kubo
}

var _ ipfs.Store = (*Store)(nil)

// Dial connects to the daemon whose RPC API listens at api: an URL
// ("http://127.0.0.1:5001"), host:port, or a multiaddr
// ("/ip4/127.0.0.1/tcp/5001", "/unix/run/ipfs.sock"); the zero [Credentials] are
// none. The error matches [ipfs.ErrUnavailable] when no Kubo answers there within
// 5 seconds, and [ErrDenied], too, when it asks for credentials or other ones.
func Dial(ctx context.Context, api string, c Credentials) (*Store, error) {
	addr, err := parseAddress(api)
	if err != nil {
		return nil, err
	}
	e := &Store{api: addr, client: newClient(addr, c), silence: silence, pinTime: pinTime}
	e.client.Transport = noting{e.client.Transport, &e.cluster}
	e.shell = shell.NewShellWithClient(addr.url, e.client)
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	var v struct{ Version string }
	if err := e.shell.Request("version").Exec(ctx, &v); err != nil {
		e.client.CloseIdleConnections()
		return nil, e.dialError(ctx, err)
	}
	if v.Version == "" {
		return nil, fmt.Errorf("%w: %s answers, but not as a Kubo RPC API does; give the address that `ipfs config Addresses.API` prints", ipfs.ErrUnavailable, addr)
	}
	e.version = v.Version
	return e, nil
}

// ErrDenied is matched by errors about a Kubo that asks for credentials, or for
// other ones.
var ErrDenied = errors.New("it asks for credentials")

// dialError explains why the first request failed.
func (e *Store) dialError(ctx context.Context, err error) error {
	answer, answered := errors.AsType[*shell.Error](err)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	switch {
	case answered && (strings.Contains(answer.Message, "HTTP 403") || strings.Contains(answer.Message, "HTTP 401")):
		return fmt.Errorf("%w: Kubo at %s: %w: %s; give those of its API.Authorizations by --api-auth, IPFS_API_AUTH or a file, and the address that `ipfs config Addresses.API` prints", ipfs.ErrUnavailable, e.api, ErrDenied, answer.Message)
	case answered:
		return fmt.Errorf("%w: %s does not answer as a Kubo RPC API does: %s; give the address that `ipfs config Addresses.API` prints", ipfs.ErrUnavailable, e.api, answer.Message)
	case errors.Is(context.Cause(ctx), context.Canceled):
		return fmt.Errorf("connecting to Kubo at %s: %w", e.api, context.Cause(ctx))
	}
	return fmt.Errorf("%w: no Kubo daemon at %s: %w; start it with `ipfs daemon`, or leave out --api and IPFS_API for the embedded node", ipfs.ErrUnavailable, e.api, err)
}

func (e *Store) String() string { return "Kubo " + e.version + " at " + e.api.String() }

// Close lets go of idle connections and of what was held. It ends no transaction.
func (e *Store) Close() error {
	err := e.letGo()
	e.client.CloseIdleConnections()
	return err
}

// Get reads a block that Kubo has, never one from the network, and checks it
// against its CID. Errors match [ipfs.ErrNotFound], [ipfs.ErrUnavailable], also
// when Kubo says nothing for 5 seconds, and [ipfs.ErrCorrupt].
func (e *Store) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	return e.get(ctx, c, true)
}

// Offline reads only what Kubo has, as [Store.Get] does. It is an [ipfs.Holder].
func (e *Store) Offline() ipfs.Getter { return offline{getter{e: e, offline: true}} }

// Online lets Kubo fetch from its peers what it does not have. Kubo searches
// until ctx ends, so give it a deadline; the error then matches
// [ipfs.ErrUnavailable] and context.DeadlineExceeded.
func (e *Store) Online() ipfs.Getter { return getter{e: e} }

type getter struct {
	e       *Store
	offline bool
}

func (g getter) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	return g.e.get(ctx, c, g.offline)
}

func (e *Store) get(ctx context.Context, c cid.Cid, offline bool) ([]byte, error) {
	moved := func() {}
	if offline {
		var stop func()
		ctx, moved, stop = withSilence(ctx, e.silence)
		defer stop()
	}
	resp, err := e.send(ctx, e.shell.Request("block/get", c.String()).Option("offline", offline))
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	defer resp.Output.Close()
	data, err := io.ReadAll(io.LimitReader(ticking{resp.Output, moved}, maxBlock+1))
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, e.mapError(ctx, err))
	}
	if len(data) > maxBlock {
		return nil, fmt.Errorf("%w: %s sends more than %d bytes as block %s", ipfs.ErrCorrupt, e, maxBlock, c)
	}
	if err := ipfs.VerifyBlock(c, data); err != nil {
		return nil, fmt.Errorf("from %s: %w", e, err)
	}
	return data, nil
}

// withSilence gives a context that ends when moved is not called for a while.
// stop must be called.
func withSilence(ctx context.Context, silence time.Duration) (_ context.Context, moved, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(silence, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() { timer.Reset(silence) }, func() {
		timer.Stop()
		cancel(nil)
	}
}

// ticking calls moved after each read.
type ticking struct {
	io.Reader
	moved func()
}

func (t ticking) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	t.moved()
	return n, err
}
