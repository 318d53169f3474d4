package main

import (
	"os"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// stage is the Debian image on our server and on docker-registry.
type stage struct {
	p            published
	store        string
	ours, theirs string // addresses
	server       *daemon
	registry     *daemon
}

// stage publishes, pushes and serves the image; close ends the servers.
func (b *bench) stage() (s *stage, err error) {
	archive, err := b.debian()
	if err != nil {
		return nil, err
	}
	s = &stage{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.store, err = b.fresh("store"); err != nil {
		return nil, err
	}
	if s.p, _, err = b.publish(s.store, archive); err != nil {
		return nil, err
	}
	if s.ours, s.server, err = b.serve(s.store); err != nil {
		return nil, err
	}
	dir, err := b.fresh("registry")
	if err != nil {
		return nil, err
	}
	if s.theirs, s.registry, err = b.registry(dir); err != nil {
		return nil, err
	}
	_, err = b.push(archive, s.theirs, "bench/debian:1")
	return s, err
}

func (s *stage) close() {
	for _, d := range []*daemon{s.server, s.registry} {
		if d != nil {
			d.stop()
		}
	}
	os.RemoveAll(s.store)
}

// serve starts image2ipfs over a store.
func (b *bench) serve(store string, flags ...string) (addr string, d *daemon, err error) {
	if addr, err = process.FreeAddr(); err != nil {
		return "", nil, err
	}
	args := append([]string{b.binary, "serve", "--addr", addr}, flags...)
	d, err = b.command(args...).env(ownStore(store)...).daemon("http://" + addr + "/v2/")
	return addr, d, err
}

// ownStore makes image2ipfs use the store in a directory, whatever the
// environment says.
func ownStore(dir string) []string {
	return []string{"IMAGE2IPFS_PATH=" + dir, "IPFS_PATH=", "IPFS_API=", "IPFS_GATEWAY="}
}

// missing tells that a section is left out for want of a program.
func (b *bench) missing(section string, programs ...string) bool {
	for _, p := range programs {
		if !have(p) {
			b.say("%s is left out: it needs %s", section, p)
			return true
		}
	}
	return false
}
