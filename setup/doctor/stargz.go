package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/image2ipfs/image2ipfs/setup"
)

// errPlugin is about a containerd that does not know the snapshotter.
var errPlugin = errors.New("does not know the snapshotter stargz")

// lazily finds out whether layers can be pulled lazily by stargz-snapshotter: whether
// it listens, containerd knows it, and its configuration leads to the server. It is
// absent where nothing speaks of it.
func lazily(ctx context.Context, o Options) Check {
	ctx, cancel := context.WithTimeout(ctx, o.timeout())
	defer cancel()
	found, err := setup.FindStargz(setup.Options{Root: o.root})
	name := "stargz"
	switch {
	case err != nil && isDenied(err):
		return Check{Name: name, Status: Problem, Detail: oneLine(err), Next: "sudo image2ipfs doctor stargz"}
	case err != nil:
		return Check{Name: name, Status: Problem, Detail: oneLine(err), Next: "mend that file"}
	case !found.Wanted:
		return Check{Name: name, Status: Absent, Detail: "no configuration of stargz-snapshotter on this machine", Next: "install it, then " + setupCommand("stargz", o)}
	case found.Socket != "":
		name += " " + found.Socket
	}
	detail, next, err := o.stargz(ctx, found)
	if err != nil {
		return Check{Name: name, Status: Problem, Detail: oneLine(err), Next: next}
	}
	return Check{Name: name, Status: OK, Detail: detail}
}

// stargz looks at a snapshotter that is configured; next is what to do about an error.
func (o Options) stargz(ctx context.Context, found setup.Stargz) (detail, next string, err error) {
	if found.Socket != "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", found.Socket)
		if err != nil && isDenied(err) {
			return "", "sudo image2ipfs doctor stargz", err
		}
		if err != nil {
			return "", "sudo systemctl start stargz-snapshotter   # and see journalctl -u stargz-snapshotter if it does not stay", fmt.Errorf("stargz-snapshotter does not listen: %w", err)
		}
		_ = conn.Close()
	}
	if next := advice("stargz", o); next != "" {
		return "", next, fmt.Errorf("its files do not lead to %s", o.server())
	}
	addresses := o.Containerd
	if len(addresses) == 0 {
		addresses = sockets(containerdSockets[found.Kind])
	}
	if len(addresses) == 0 {
		return "", "sudo systemctl start " + found.Kind, fmt.Errorf("%s does not run", found.Kind)
	}
	version, err := pluginOf(ctx, addresses[0])
	switch {
	case err != nil && isDenied(err):
		return "", "sudo image2ipfs doctor stargz", err
	case errors.Is(err, errPlugin):
		return "", setup.Restart(found.Kind) + "   # its files are right", err
	case err != nil:
		return "", "see journalctl -u " + found.Kind, err
	}
	return fmt.Sprintf("containerd %s knows it, and it asks %s for layers of docker.io first", version, o.server()), "", nil
}

// pluginOf asks a containerd for the snapshotter.
func pluginOf(ctx context.Context, address string) (version string, err error) {
	engine, version, err := dialContainerd(ctx, address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	res, err := engine.IntrospectionService().Plugins(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range res.GetPlugins() {
		if p.GetID() != "stargz" || !strings.HasPrefix(p.GetType(), "io.containerd.snapshotter.") {
			continue
		}
		if failure := p.GetInitErr(); failure != nil {
			return "", fmt.Errorf("containerd %s: stargz: %s", version, failure.GetMessage())
		}
		return version, nil
	}
	return "", fmt.Errorf("containerd %s %w", version, errPlugin)
}
