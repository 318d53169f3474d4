// Package setup writes into the configuration of container engines that names
// with a CID in them (ciq…/app) are pulled through an image2ipfs server, and
// takes exactly that out again.
//
// The engine "stargz" is stargz-snapshotter, by which containerd and K3s pull lazily.
//
// [New] looks at the files and plans; nothing is written before [Plan.Write].
// All edits are functions from text to text that keep whatever else the file
// says, byte for byte. In TOML files they stand between two marker comments; for
// JSON, which has no comments, a record beside the file says what was added.
package setup

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/redact"
)

// DefaultServer is where image2ipfs serve listens.
const DefaultServer = "http://127.0.0.1:5000"

// Engines are the engines that can be set up.
var Engines = []string{"docker", "containerd", "nerdctl", "podman", "k3s", "rke2", "microk8s", "k0s", "stargz"}

var (
	// ErrInvalid is matched by errors about options that make no sense.
	ErrInvalid = errors.New("invalid setup option")
	// ErrConfig is matched by errors about files that cannot be read, or cannot
	// be edited without changing what they mean.
	ErrConfig = errors.New("cannot edit the configuration")
)

// Options say which engine is set up, where its files lie and for which server.
type Options struct {
	Engine   string // one of [Engines]
	Server   string // URL of the server as the engine reaches it; [DefaultServer] when empty
	Root     string // directory that the engine sees as /, when it is another one
	Config   string // the engine's file as seen from here: daemon.json, config.toml, nerdctl.toml, registries.conf, registries.yaml, K3s's config.yaml for stargz
	HostsDir string // certs.d, for containerd and nerdctl
	Rootless bool   // the files of the user's own engine, below the home directory
	Home     string // of that user; found out when empty
	Undo     bool   // take out what an earlier setup has put in

	// CertsOnly leaves containerd's configuration alone, which it reads at its start
	// only, and writes certs.d: where CRI does not read that, it is an error that
	// says what to write. For containerd and k0s.
	CertsOnly bool

	// Program is the command by which the engine itself is asked how it reads its
	// files (containerd config dump, dockerd --validate, podman info). When empty it
	// is the one on the PATH, and with a Root or a Config nobody is asked.
	Program []string

	ownHome bool // Home is this process's user's
	stargz  bool // lines go in between the marks of stargz
}

// Change is what happens to one file.
type Change struct {
	Path   string // of the file, as seen from here
	Before []byte // nil when there is no file
	After  []byte // nil when the file goes away
	Backup string // file that gets Before; when undoing, one with After, which goes away

	target     string // where Path leads
	dropBackup bool
	early      bool     // it is written before the others
	prune      []string // directories that go away if they are empty then
}

// Plan is what has to be done to set an engine up, or to undo that.
type Plan struct {
	Engine  string
	Server  string
	Undo    bool
	Changes []Change // empty when there is nothing to do
	Notes   []string // what the user should know
	Next    []string // what the user has to do for the engine to notice

	options Options
	place   place
	due     []string                    // of Next, what is left to do where nothing has to be written
	check   func(context.Context) error // reads the written files as the engine does
}

// New finds out what has to be done. Errors match [ErrInvalid] or [ErrConfig],
// or are those of reading the files.
func New(o Options) (*Plan, error) {
	server, err := cleanServer(o.Server)
	if err != nil {
		return nil, err
	}
	o.Server = server
	if !slices.Contains(Engines, o.Engine) {
		return nil, fmt.Errorf("%w: engine %q: want %s", ErrInvalid, o.Engine, strings.Join(Engines, ", "))
	}
	if o.CertsOnly && o.Engine != "containerd" && o.Engine != "k0s" {
		return nil, fmt.Errorf("%w: certs.d alone is for containerd and k0s; of %s nothing else is read without a restart, or nothing else is written", ErrInvalid, o.Engine)
	}
	if o, err = o.completed(); err != nil {
		return nil, err
	}
	p := &Plan{Engine: o.Engine, Server: server, Undo: o.Undo, options: o, place: o.place()}
	switch o.Engine {
	case "docker":
		err = p.docker(o)
	case "containerd":
		err = p.containerd(o)
	case "nerdctl":
		err = p.nerdctl(o)
	case "podman":
		err = p.podman(o)
	case "k3s", "rke2":
		err = p.registriesYAML(o)
	case "microk8s":
		err = p.microk8s(o)
	case "k0s":
		err = p.k0s(o)
	case "stargz":
		err = p.stargz(o)
	}
	if err != nil {
		return nil, err
	}
	if o.Undo && o.Config == "" && o.HostsDir == "" {
		p.elsewhere(o)
	}
	if len(p.Changes) == 0 {
		p.Next = p.due
	}
	return p, nil
}

// completed fills in what is not given.
func (o Options) completed() (_ Options, err error) {
	o.stargz = o.Engine == "stargz"
	if o.Home == "" && o.Root != "" && !o.Rootless {
		o.Home = "/root"
	}
	if o.Home == "" {
		o.ownHome = true
		if o.Home, err = os.UserHomeDir(); err != nil && o.Rootless {
			return o, fmt.Errorf("%w: no home directory: %v", ErrInvalid, err)
		}
		if os.Geteuid() != 0 && !o.Rootless && runtime.GOOS == "linux" {
			o.Home, o.ownHome = "/root", false
		}
	}
	for _, path := range []*string{&o.Root, &o.Config, &o.HostsDir} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
		if _, ok := below(o.Root, *path); o.Root != "" && !ok {
			return o, fmt.Errorf("%w: %s is %w (%s)", ErrInvalid, *path, errOutside, o.Root)
		}
	}
	if o.Root == "" {
		return o, nil
	}
	if info, err := os.Stat(o.Root); err != nil || !info.IsDir() {
		return o, fmt.Errorf("%w: root %s: want the directory that the engine sees as /, which is there", ErrInvalid, o.Root)
	}
	return o, nil
}

// cleanServer checks the server's URL and gives its only spelling.
func cleanServer(server string) (string, error) {
	if server == "" {
		return DefaultServer, nil
	}
	text := server
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("%w: server %q: not a URL; write it as http://host:port or https://host:port", ErrInvalid, redact.URL(server))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: server %q: want http://host:port or https://host:port, engines know no mirrors below a path", ErrInvalid, redact.URL(server))
	}
	if _, err := netip.ParseAddr(u.Hostname()); strings.Contains(u.Hostname(), "%") || err != nil && !hostName.MatchString(u.Hostname()) {
		return "", fmt.Errorf("%w: server %q: %q is no host name and no address that an engine can be told (letters, digits, points and dashes; an address without a zone)", ErrInvalid, redact.URL(server), u.Hostname())
	}
	if port, err := strconv.Atoi(u.Port()); strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || port < 1 || port > 65535) {
		return "", fmt.Errorf("%w: server %q: want a port from 1 to 65535, or none", ErrInvalid, redact.URL(server))
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$`)

// named refuses a server that is an IPv6 address for engines that cannot read
// one: a hosts.toml that both containerd 1.x and 2.x read has no place for "]", and
// podman then refuses all names of docker.io.
func (p *Plan) named() error {
	if u, err := url.Parse(p.Server); err != nil || !strings.Contains(u.Host, "[") || p.Undo {
		return err
	}
	return fmt.Errorf("%w: server %s: %s does not read an IPv6 address there in all its versions, and would drop the whole file: give the address a name in /etc/hosts and use that, such as --server http://localhost:5000", ErrInvalid, p.Server, p.Engine)
}

// note tells the user something once.
func (p *Plan) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.Notes, text) {
		p.Notes = append(p.Notes, text)
	}
}
