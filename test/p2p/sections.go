//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// one lets the containerd of one machine pull from another, without a limit.
func (b *bench) one(s *site) error {
	v1, _, err := b.debian()
	if err != nil {
		return err
	}
	noise, err := b.noise("more", 84)
	if err != nil {
		return err
	}
	archive, err := b.archive("large", v1, noise)
	if err != nil {
		return err
	}
	img, err := s.publish(archive)
	if err != nil {
		return err
	}
	c, err := s.crowd(1)
	if err != nil {
		return err
	}
	engine, err := b.containerd(c[0])
	if err != nil {
		return err
	}
	t := b.out.table("One machine pulls from one, by containerd", fmt.Sprintf("image of %s, no limit", mb(img.size)))
	var ratios []float64
	for round := range b.rounds + 1 {
		o, theirs, err := b.onePull(s, c, engine, img)
		if err != nil {
			return errors.Join(err, engine.Stop())
		}
		if round > 0 { // the first warms the page cache
			t.add("image2ipfs", o, img.size)
			t.add("docker-registry", theirs, img.size)
			ratios = append(ratios, o.wall.Seconds()/theirs.wall.Seconds())
		}
	}
	b.out.verdict("one machine pulls from one: time against docker-registry", median(ratios), 1.3, "x", "")
	return engine.Stop()
}

// onePull lets containerd pull from each side.
func (b *bench) onePull(s *site, c crowd, engine *engine, img image) (ours, theirs spread, err error) {
	n := c[0]
	if err := errors.Join(n.reset("machine0"), s.publishing(), c.serve(s.publisher)); err != nil {
		return ours, theirs, err
	}
	measure := func(name string, servers ...*process.Process) (sp spread, err error) {
		before, _ := s.publisher.m.Sent()
		for _, p := range servers {
			sp.cpu -= p.CPU()
		}
		sp.wall, err = timed(func() error { return engine.pull(name) })
		for _, p := range servers {
			sp.cpu += p.CPU()
		}
		after, serr := s.publisher.m.Sent()
		sp.left = after - before
		return sp, errors.Join(err, serr, engine.remove(name))
	}
	ours, err = measure(our(img), s.publisher.server, n.server)
	if err = errors.Join(err, c.stop(), s.publisher.stop()); err != nil {
		return ours, theirs, err
	}
	theirs, err = measure(s.their(img), s.registry)
	return ours, theirs, err
}

// update pulls an image whose earlier version is there, over a slow link.
func (b *bench) update(s *site) error {
	old, err := b.base()
	if err != nil {
		return err
	}
	upgraded, err := b.upgraded()
	if err != nil {
		return err
	}
	return b.updates(s, old, upgraded, "update with upgraded packages, 50 Mbit/s", 0.35)
}

// resized is an update of a layer, of whose files one in twelve is longer or shorter.
func (b *bench) resized(s *site) error {
	var archives []string
	for _, name := range []string{"before", "after"} {
		longer := func(i int) int {
			if name == "before" || i%12 != 0 {
				return 0
			}
			return (i%5 - 2) * 777
		}
		layer, err := b.files("resized-"+name, 480, 256<<10, longer)
		if err != nil {
			return err
		}
		archive, err := b.archive("resized-"+name, layer)
		if err != nil {
			return err
		}
		archives = append(archives, archive)
	}
	return b.updates(s, archives[0], archives[1], "update of files that change their sizes, 50 Mbit/s", 0)
}

// updates pulls an image whose earlier version is there, over a slow link. The target is
// the time against docker-registry's; 0 for none.
func (b *bench) updates(s *site, old, fresh, title string, atMost float64) error {
	from, err := s.publish(old)
	if err != nil {
		return err
	}
	to, err := s.publish(fresh)
	if err != nil {
		return err
	}
	c, err := s.crowd(1)
	if err != nil {
		return err
	}
	n := c[0]
	second := func(prepare func() error, first, second string, servers func() []*process.Process) (spread, error) {
		if err := errors.Join(n.reset("machine0"), prepare(), n.pull(first), s.publisher.m.Limit(b.ctx, 50)); err != nil {
			return spread{}, err
		}
		sp, err := c.pull(s, servers(), second, 0)
		return sp, errors.Join(err, s.publisher.m.Limit(b.ctx, 0))
	}
	t := b.out.table(strings.ToUpper(title[:1])+title[1:], fmt.Sprintf("from %s to %s", mb(from.size), mb(to.size)))
	var ratios []float64
	for range b.rounds {
		ours, err := second(func() error { return errors.Join(s.publishing(), c.serve(s.publisher)) }, our(from), our(to),
			func() []*process.Process { return []*process.Process{s.publisher.server, n.server} })
		if err = errors.Join(err, c.stop(), s.publisher.stop()); err != nil {
			return err
		}
		theirs, err := second(func() error { return nil }, s.their(from), s.their(to), func() []*process.Process { return []*process.Process{s.registry} })
		if err != nil {
			return err
		}
		t.add("image2ipfs", ours, to.size)
		t.add("docker-registry", theirs, to.size)
		ratios = append(ratios, ours.wall.Seconds()/theirs.wall.Seconds())
	}
	b.out.verdict(title+": time against docker-registry", median(ratios), atMost, "x", "")
	return nil
}

// relay measures the memory of a machine by way of which another pulls 1 GiB
// that it pulls itself.
func (b *bench) relay(s *site) (err error) {
	noise, err := b.noise("gibibyte", 1024)
	if err != nil {
		return err
	}
	archive, err := b.archive("gibibyte", noise)
	if err != nil {
		return err
	}
	img, err := s.publish(archive)
	if err != nil {
		return err
	}
	c, err := s.crowd(2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	between, behind := c[0], c[1]
	err = errors.Join(s.publishing(), between.serve([]*node{s.publisher}), behind.serve([]*node{between}),
		between.connected(2), behind.connected(1))
	if err != nil {
		return err
	}
	before, err := behind.m.Sent()
	if err != nil {
		return err
	}
	wall, err := timed(func() error {
		return c.each(func(_ int, n *node) error {
			if n == behind { // it has no other source, which at first does not know the image
				if err := n.answers(img); err != nil {
					return err
				}
			}
			return n.pull(our(img))
		})
	})
	if err != nil {
		return err
	}
	after, err := behind.m.Sent()
	if err != nil {
		return err
	}
	if after-before > img.size/2 {
		return fmt.Errorf("the machine behind has sent %d bytes: it was no end", after-before)
	}
	for _, p := range []struct {
		name   string
		node   *node
		atMost float64
	}{{"that relays 1 GiB", between, 150}, {"that only pulls it", behind, 0}, {"that publishes it", s.publisher, 0}} {
		peak, err := p.node.server.PeakMemory()
		if err != nil {
			return err
		}
		b.out.verdict("memory of a node "+p.name, float64(peak)/(1<<20), p.atMost, "MiB", fmt.Sprintf("both done in %.1f s", wall.Seconds()))
	}
	return nil
}
