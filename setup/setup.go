// Package setup writes into the configuration of container engines that names
// with a CID in them (ciq…/app) are pulled through an image2ipfs server, and
// takes exactly that out again.
//
// [New] looks at the files and plans; nothing is written before [Plan.Write].
// All edits are functions from text to text that keep whatever else the file
// says, byte for byte. In TOML files they stand between two marker comments; for
// JSON, which has no comments, a record beside the file says what was added.
package setup

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultServer is where image2ipfs serve listens.
const DefaultServer = "http://127.0.0.1:5000"

// Engines are the engines that can be set up.
var Engines = []string{"docker", "containerd", "nerdctl", "podman"}

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
	Config   string // the engine's file: daemon.json, config.toml, nerdctl.toml, registries.conf
	HostsDir string // certs.d, for containerd and nerdctl
	Rootless bool   // the files of the user's own engine, below the home directory
	Home     string // of that user; found out when empty
	Undo     bool   // take out what an earlier setup has put in
}

// Change is what happens to one file.
type Change struct {
	Path   string // of the file, as seen from here
	Before []byte // nil when there is no file
	After  []byte // nil when the file goes away
	Backup string // file that gets Before; when undoing, one with After, which goes away

	dropBackup bool
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
	if o.Home == "" {
		if o.Home, err = os.UserHomeDir(); err != nil && o.Rootless {
			return nil, fmt.Errorf("%w: no home directory: %v", ErrInvalid, err)
		}
	}
	for _, path := range []*string{&o.Root, &o.Config, &o.HostsDir} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	p := &Plan{Engine: o.Engine, Server: server, Undo: o.Undo}
	switch o.Engine {
	case "docker":
		err = p.docker(o)
	case "containerd":
		err = p.containerd(o)
	case "nerdctl":
		err = p.nerdctl(o)
	case "podman":
		err = p.podman(o)
	}
	if err != nil {
		return nil, err
	}
	if len(p.Changes) == 0 {
		p.Next = nil
	}
	return p, nil
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
		return "", fmt.Errorf("%w: server %q: %v", ErrInvalid, server, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: server %q: want http://host:port or https://host:port, engines know no mirrors below a path", ErrInvalid, server)
	}
	if strings.ContainsAny(u.Host, "\"'\\ ") {
		return "", fmt.Errorf("%w: server %q: not a host name", ErrInvalid, server)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// note tells the user something once.
func (p *Plan) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.Notes, text) {
		p.Notes = append(p.Notes, text)
	}
}
