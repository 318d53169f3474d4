//go:build linux

package main

import (
	"path/filepath"
	"time"

	"github.com/image2ipfs/image2ipfs/test/containerdconf"
	"github.com/image2ipfs/image2ipfs/test/process"
)

// engine is a containerd on a machine.
type engine struct {
	*process.Process
	node   *node
	socket string
}

func (b *bench) containerd(n *node) (*engine, error) {
	dir, err := b.fresh("containerd")
	if err != nil {
		return nil, err
	}
	socket, config, err := containerdconf.Write(dir)
	if err != nil {
		return nil, err
	}
	p, err := b.start(n.m, filepath.Join(dir, "log"), socket, nil,
		"unshare", "--mount", "--propagation", "private", "containerd", "--config", config, "--log-level", "error")
	return &engine{p, n, socket}, err
}

func (e *engine) ctr(args ...string) error {
	argv := append([]string{"ctr", "--timeout", (5 * time.Minute).String(), "-a", e.socket}, args...)
	_, err := output(e.node.m.Command(e.node.b.ctx, argv...))
	return err
}

func (e *engine) pull(name string) error {
	return e.ctr("images", "pull", "--plain-http", name)
}

func (e *engine) remove(name string) error {
	return e.ctr("images", "rm", "--sync", name)
}
