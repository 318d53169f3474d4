//go:build e2e && linux

// Machines of their own, on a network of their own, with what runs on them.

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/containerdconf"
	"github.com/image2ipfs/image2ipfs/test/netlab"
	"github.com/image2ipfs/image2ipfs/test/process"
)

// lab is a network; it and its machines end with the test.
type lab struct{ *netlab.Lab }

func newLab(t *testing.T) lab {
	t.Helper()
	l, err := netlab.New(t.Context())
	if err != nil {
		missing(t, "machine to machine", err.Error())
		t.SkipNow()
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab{l}
}

// machine has an address and an image2ipfs with a store.
type machine struct {
	program
	m      *netlab.Machine
	server *server
}

const (
	registryAddr = "127.0.0.1:5000"
	swarmPort    = "4001"
	listenOn     = "/ip4/0.0.0.0/tcp/" + swarmPort
)

func (l lab) machine(t *testing.T) *machine {
	t.Helper()
	m, err := l.Machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	p.on, p.client = m.Prefix(), m.Client()
	return &machine{program: p, m: m}
}

// serving starts the machine's server with flags.
func (m *machine) serving(t *testing.T, args ...string) {
	t.Helper()
	m.server = m.serve(t, registryAddr, args...)
}

// id is the machine's peer ID.
func (m *machine) id(t *testing.T) string {
	t.Helper()
	text, err := m.command().output(deadline(t), "id", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ ID string }
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		t.Fatal(err)
	}
	return said.ID
}

// address is where other machines reach this one.
func (m *machine) address(t *testing.T) string {
	return "/ip4/" + m.m.IP + "/tcp/" + swarmPort + "/p2p/" + m.id(t)
}

// peers are those that the machine's server is connected to, with the ways in
// which blocks are had from them.
func (m *machine) peers(t *testing.T) (map[string][]string, error) {
	t.Helper()
	text, err := m.command().output(deadline(t), "peers", "--json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		ID        string
		Protocols []string
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	known := map[string][]string{}
	for _, p := range list {
		known[p.ID] = p.Protocols
	}
	return known, nil
}

// connected waits until the machine can have blocks from a peer in a way.
func (m *machine) connected(t *testing.T, id, protocol string) {
	t.Helper()
	eventually(t, m.m.IP+" connects to "+id, func() error {
		known, err := m.peers(t)
		if err == nil && !slices.Contains(known[id], protocol) {
			err = fmt.Errorf("peers are %v\n%s", known, m.server.lastLines())
		}
		return err
	})
}

// published publishes an archive on the machine, and gives the name without the host.
func (m *machine) published(t *testing.T, file string, args ...string) string {
	t.Helper()
	lines, err := m.publish(deadline(t), archivePath(t, file), false, args...)
	if err != nil || len(lines) != 1 {
		t.Fatalf("publishing %s: %q, %v", file, lines, err)
	}
	_, name, _ := strings.Cut(lines[0], "/")
	return name
}

// wantPulled pulls a name with image2ipfs itself, and compares.
func (m *machine) wantPulled(t *testing.T, name string, args ...string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	_, err := m.command().output(deadline(t), append([]string{"pull", "-q", "--to", "oci:" + dir}, append(args, name)...)...)
	if err != nil {
		t.Fatal(err)
	}
	wantLayout(t, dir, name)
}

// wantLayout publishes a layout anew, which must give the name that it came from.
func wantLayout(t *testing.T, dir, name string) {
	t.Helper()
	lines, err := newProgram(t).publish(deadline(t), dir, false, "-r", "host")
	if err != nil || lines[0] != "host/"+name {
		t.Errorf("what was pulled is %s (%v), want %s", lines, err, name)
	}
}

// wantLogged looks for a line in the log of the machine's server.
func (m *machine) wantLogged(t *testing.T, line string) {
	t.Helper()
	log, err := os.ReadFile(m.server.log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), line) {
		t.Errorf("the server has not logged %q:\n%s", line, m.server.lastLines())
	}
}

// containerd starts a containerd on the machine.
func (m *machine) containerd(t *testing.T) containerd {
	t.Helper()
	dir := t.TempDir()
	socket, config, err := containerdconf.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	daemon := m.m.Command(t.Context(), "unshare", "--mount", "--propagation", "private", "containerd", "--config", config)
	p, err := process.Start(t.Context(), daemon, filepath.Join(dir, "log"), process.Listens(&net.Dialer{}, "unix", socket))
	if err != nil {
		missing(t, "containerd on a machine of its own", err.Error())
		t.SkipNow()
	}
	t.Cleanup(p.Kill)
	c := containerd{append(command(m.m.Prefix()), "ctr", "--address", socket)}
	eventually(t, "containerd", func() error {
		_, err := c.Version(deadline(t))
		return err
	})
	return c
}
