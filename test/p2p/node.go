//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/test/netlab"
	"github.com/image2ipfs/image2ipfs/test/process"
)

// node is a machine with a store, and while it serves, a registry for its own
// engines whose images come from its peers.
type node struct {
	b      *bench
	m      *netlab.Machine
	dir    string
	store  string
	server *process.Process
}

// node adds a machine with an empty store.
func (s *site) node(name string) (*node, error) {
	m, err := s.lab.Machine(s.b.ctx)
	if err != nil {
		return nil, err
	}
	n := &node{b: s.b, m: m}
	return n, n.reset(name)
}

// reset empties the machine.
func (n *node) reset(name string) (err error) {
	if n.dir, err = n.b.fresh(name); err == nil {
		n.store = filepath.Join(n.dir, "store")
	}
	return err
}

func (n *node) env() []string {
	return []string{"IMAGE2IPFS_PATH=" + n.store, "IPFS_API=", "IPFS_PATH=", "IPFS_GATEWAY="}
}

// command is image2ipfs on the machine.
func (n *node) command(args ...string) *exec.Cmd {
	cmd := n.m.Command(n.b.ctx, append([]string{n.b.binary}, args...)...)
	cmd.Env = append(os.Environ(), n.env()...)
	return cmd
}

const swarmPort = "4001"

// address is where peers reach the machine.
func (n *node) address() (string, error) {
	var said struct{ ID string }
	text, err := output(n.command("id", "--json"))
	if err == nil {
		err = json.Unmarshal([]byte(text), &said)
	}
	return "/ip4/" + n.m.IP + "/tcp/" + swarmPort + "/p2p/" + said.ID, err
}

// serve starts the machine's server, connected to the given machines.
func (n *node) serve(peers []*node, more ...string) (err error) {
	args := []string{n.b.binary, "serve", "--addr", ourAddress, "--swarm-listen", "/ip4/0.0.0.0/tcp/" + swarmPort}
	for _, p := range peers {
		address, err := p.address()
		if err != nil {
			return err
		}
		args = append(args, "--peers", address)
	}
	n.server, err = n.b.start(n.m, filepath.Join(n.dir, "serve.log"), ourAddress, n.env(), append(args, more...)...)
	return err
}

// connected waits until the machine has at least so many peers that run this
// program.
func (n *node) connected(peers int) error {
	err := n.within(time.Minute, func(context.Context) error {
		var list []struct{ Protocols []string }
		text, err := output(n.command("peers", "--json"))
		if err == nil {
			err = json.Unmarshal([]byte(text), &list)
		}
		known := 0
		for _, p := range list {
			if slices.Contains(p.Protocols, "image2ipfs") {
				known++
			}
		}
		if err == nil && known < peers {
			err = fmt.Errorf("%d peers, want %d", known, peers)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s has too few peers: %w: %s", n.m.IP, err, n.server.Last())
	}
	return nil
}

// within waits until a condition holds.
func (n *node) within(patience time.Duration, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(n.b.ctx, patience)
	defer cancel()
	return process.Await(ctx, func() error { return condition(ctx) })
}

// answers waits until the machine's server knows an image.
func (n *node) answers(img image) error {
	url := "http://" + ourAddress + "/v2/" + img.ciq + "/manifests/1"
	if err := n.within(time.Minute, process.Answers(n.m.Client(), url)); err != nil {
		return fmt.Errorf("%s: %w: %s", n.m.IP, err, n.server.Last())
	}
	return nil
}

func (n *node) stop() error {
	if n.server == nil {
		return nil
	}
	defer func() { n.server = nil }()
	return n.server.Stop()
}

// pull copies an image to a layout with skopeo; what the layout has already is
// not fetched.
func (n *node) pull(image string) error {
	_, err := output(n.m.Command(n.b.ctx, "skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
		"docker://"+image, "oci:"+filepath.Join(n.dir, "layout")+":image"))
	return err
}

// imageName is the repository that an archive's image has in docker-registry.
func imageName(archive string) string {
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(archive), "p2p-"), ".tar")
}

// imagePath is a pull name without the host.
func imagePath(name string) string {
	_, path, _ := strings.Cut(name, "/")
	return path
}
