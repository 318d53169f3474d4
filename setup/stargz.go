// stargz-snapshotter: containerd is told of it, and it of the server, from which it
// takes layers by itself. K3s has it built in.

package setup

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// What containerd-stargz-grpc takes without flags.
const (
	stargzConfig = "/etc/containerd-stargz-grpc/config.toml"
	stargzSocket = "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock"
	stargzRoot   = "/var/lib/containerd-stargz-grpc/"
)

// snapshotter is where a containerd-stargz-grpc has its files, as it sees them.
type snapshotter struct{ config, socket, root string }

// snapshotter finds them by the process that runs, or its unit.
func (o Options) snapshotter() (s snapshotter, err error) {
	daemons, err := o.daemons("containerd-stargz-grpc", "stargz-snapshotter", "containerd-stargz-grpc")
	return snapshotter{
		config: cmp.Or(configFlag(daemons, "--config", "-config"), stargzConfig),
		socket: cmp.Or(configFlag(daemons, "--address", "-address"), stargzSocket),
		root:   cmp.Or(configFlag(daemons, "--root", "-root"), stargzRoot),
	}, err
}

// stargz plans the snapshotter's files. Hosts.toml, by which containerd itself gets
// manifests, is what the setup of containerd, nerdctl and K3s writes.
func (p *Plan) stargz(o Options) error {
	if o.Rootless {
		return fmt.Errorf("%w: a rootless stargz-snapshotter runs in a namespace of its own, whose files setup does not know: see \"Lazy and partial pulls\"", ErrInvalid)
	}
	if err := p.named(); err != nil {
		return err
	}
	if err := p.plainLoopback(); err != nil {
		return err
	}
	other := o.kubernetes()
	switch ext := filepath.Ext(o.Config); {
	case ext == ".yaml" || ext == ".yml", o.Config == "" && other == "k3s" && !o.exists("/etc/containerd"):
		return p.stargzInK3s(o)
	case o.Config == "" && other != "" && !o.exists("/etc/containerd") && !p.Undo:
		return fmt.Errorf("%w: the containerd of this machine is %s's, for which setup does not know stargz-snapshotter; it does for K3s and for containerd", ErrConfig, other)
	}
	snap, err := o.snapshotter()
	if err != nil {
		return err
	}
	changed, err := p.stargzInContainerd(o, &snap)
	if err != nil {
		return err
	}
	told, err := p.stargzResolver(o, snap)
	if err != nil {
		return err
	}
	if told {
		p.Next = append(p.Next, "sudo systemctl restart stargz-snapshotter   # containers that it has started go on running")
	}
	if changed {
		p.Next = append(p.Next, o.containerdRestart())
	}
	if !p.Undo {
		p.note("containerd gets manifests by hosts.toml (image2ipfs setup containerd, or nerdctl), stargz-snapshotter layers by itself: ctr and nerdctl use it with --snapshotter stargz, and docker.io/ in front of ciq…; CRI goes on as before, see \"Lazy and partial pulls\"")
	}
	return nil
}

// plainLoopback refuses what the snapshotter cannot ask: it speaks HTTP to the
// loopback, whatever its configuration says.
func (p *Plan) plainLoopback() error {
	u, err := url.Parse(p.Server)
	if err != nil || u.Scheme != "https" || p.Undo {
		return err
	}
	if local, err := docker.MatchLocalhost(u.Host); err != nil || !local {
		return err
	}
	return fmt.Errorf("%w: server %s: stargz-snapshotter speaks HTTP alone to an address of the loopback: name the server by the machine's name, or serve HTTP there", ErrInvalid, p.Server)
}

// stargzInContainerd plans config.toml and its imports; socket and root are those that
// it names already.
func (p *Plan) stargzInContainerd(o Options, snap *snapshotter) (changed bool, err error) {
	path, err := o.containerdConfig()
	if err != nil {
		return false, err
	}
	files, err := o.criFiles(o.within(path))
	if err != nil {
		return false, err
	}
	if !p.Undo {
		edits := pluginEdits{files: files, snap: snap, transfer: o.transfers(), told: map[*criFile]bool{}, made: func(f *criFile) ([]string, error) { return p.madeLine(o.at(f.path), f.text) }}
		if err := edits.plan(); err != nil {
			return false, err
		}
		p.check = func(ctx context.Context) error { return o.dumpsProxy(ctx, path, snap.socket) }
	}
	before := len(p.Changes)
	for _, f := range files {
		if err := p.textChange(o.at(f.path), f.text, f.plain, true); err != nil {
			return false, err
		}
	}
	return len(p.Changes) > before, nil
}

// transfers tells whether containerd's transfer service knows remote snapshotters,
// which it does since 2.1; so it is taken to where nobody says the version.
func (o Options) transfers() bool {
	major, minor, known := o.version("containerd")
	return !known || major > 2 || major == 2 && minor >= 1
}

// dumpsProxy asks containerd whether it reads the plugin as it was written.
func (o Options) dumpsProxy(ctx context.Context, path, socket string) error {
	program := o.program("containerd")
	if program == nil {
		return nil
	}
	out, err := ask(ctx, program, "--config", o.within(path), "config", "dump")
	if err != nil {
		return fmt.Errorf("containerd does not take the new configuration: %w", err)
	}
	_, tree, err := parseTOML([]byte(out))
	if err != nil {
		return nil // a version that dumps in another way
	}
	if address := subtree(tree, "proxy_plugins", "stargz")["address"]; address != socket {
		return fmt.Errorf("containerd config dump shows %v as proxy_plugins.stargz's address, not %s: another file counts; set it there by hand", address, socket)
	}
	return nil
}

// stargzResolver plans the snapshotter's own file.
func (p *Plan) stargzResolver(o Options, snap snapshotter) (changed bool, err error) {
	path := o.at(snap.config)
	text, err := p.place.read(path)
	if err != nil {
		return false, err
	}
	after := stargzMarks.cut(text)
	if !p.Undo {
		made, err := p.madeLine(path, text)
		if err == nil {
			after, err = resolverTOML(after, p.Server, made...)
		}
		if err != nil {
			return false, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
		}
	}
	before := len(p.Changes)
	err = p.textChange(path, text, after, p.Undo)
	return len(p.Changes) > before, err
}

// Stargz is what [Options] find of stargz-snapshotter on a machine.
type Stargz struct {
	Socket string // of the snapshotter; empty for K3s, whose containerd has it built in
	Kind   string // whose containerd has it: "containerd" or "k3s"
	Wanted bool   // its configuration is there, or containerd's speaks of it
}

// FindStargz looks for stargz-snapshotter. Errors are those of reading the files.
func FindStargz(o Options) (found Stargz, err error) {
	o.Engine = "stargz"
	if o, err = o.completed(); err != nil {
		return found, err
	}
	if o.kubernetes() == "k3s" && !o.exists("/etc/containerd") {
		value, _, err := o.inK3s().k3sSnapshotter()
		return Stargz{Kind: "k3s", Wanted: value == "stargz"}, err
	}
	snap, err := o.snapshotter()
	if err != nil {
		return found, err
	}
	found = Stargz{Kind: "containerd", Socket: o.at(snap.socket), Wanted: o.exists(snap.config) || o.exists(snap.socket)}
	path, err := o.containerdConfig()
	if err != nil {
		return found, err
	}
	files, err := o.criFiles(o.within(path))
	if err != nil {
		return found, err
	}
	for _, f := range files {
		_, tree, err := parseTOML(f.text)
		if err != nil {
			return found, fmt.Errorf("%w: %s: %w", ErrConfig, f.seen, err)
		}
		if plugin := subtree(tree, "proxy_plugins", "stargz"); plugin != nil {
			address, _ := plugin["address"].(string)
			found.Wanted, found.Socket = true, o.at(cmp.Or(strings.TrimPrefix(address, "unix://"), snap.socket))
		}
	}
	return found, nil
}
