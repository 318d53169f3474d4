//go:build linux

package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// crowd are machines that pull the same image.
type crowd []*node

// crowd adds n machines.
func (s *site) crowd(n int) (crowd, error) {
	var c crowd
	for i := range n {
		m, err := s.node(fmt.Sprintf("machine%d", i))
		if err != nil {
			return nil, err
		}
		c = append(c, m)
	}
	return c, nil
}

// each does something on all machines at once.
func (c crowd) each(do func(i int, n *node) error) error {
	errs := make([]error, len(c))
	var wg sync.WaitGroup
	for i, n := range c {
		wg.Go(func() { errs[i] = do(i, n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c crowd) reset() error {
	return c.each(func(i int, n *node) error { return n.reset(fmt.Sprintf("machine%d", i)) })
}

// wholeGroup is up to how many machines each has to know all others. Of more,
// which share few cores and start at the same moment, multicast loses some.
const wholeGroup = 8

// serve starts all servers and waits until each knows the others, or the most
// of many: the publisher by its address, the rest because they are on the same
// network.
func (c crowd) serve(publisher *node) error {
	err := c.each(func(_ int, n *node) error { return n.serve([]*node{publisher}, "--mdns") })
	if err != nil {
		return err
	}
	wanted := max(min(len(c), wholeGroup), len(c)/2+1)
	return c.each(func(_ int, n *node) error { return n.connected(wanted) })
}

func (c crowd) stop() error {
	return c.each(func(_ int, n *node) error { return n.stop() })
}

// spread is what it took until all had an image.
type spread struct {
	wall time.Duration
	left int64         // bytes that left the publisher
	cpu  time.Duration // of all servers
}

// pull lets all pull, each a step after the one before.
func (c crowd) pull(s *site, servers []*process.Process, name string, step time.Duration) (spread, error) {
	var cpu time.Duration
	for _, p := range servers {
		cpu -= p.CPU()
	}
	before, err := s.publisher.m.Sent()
	if err != nil {
		return spread{}, err
	}
	wall, err := timed(func() error {
		return c.each(func(i int, n *node) error {
			time.Sleep(time.Duration(i) * step)
			return n.pull(name)
		})
	})
	after, serr := s.publisher.m.Sent()
	for _, p := range servers {
		cpu += p.CPU()
	}
	return spread{wall, after - before, cpu}, errors.Join(err, serr)
}

// ours lets all pull from their own server, each with an empty store.
func (c crowd) ours(s *site, img image, step time.Duration) (sp spread, err error) {
	if err := errors.Join(c.reset(), s.publishing()); err != nil {
		return sp, err
	}
	defer func() { err = errors.Join(err, c.stop(), s.publisher.stop()) }()
	if err := c.serve(s.publisher); err != nil {
		return sp, err
	}
	servers := []*process.Process{s.publisher.server}
	for _, n := range c {
		servers = append(servers, n.server)
	}
	return c.pull(s, servers, our(img), step)
}

// theirs lets all pull from docker-registry.
func (c crowd) theirs(s *site, img image, step time.Duration) (spread, error) {
	if err := c.reset(); err != nil {
		return spread{}, err
	}
	return c.pull(s, []*process.Process{s.registry}, s.their(img), step)
}
