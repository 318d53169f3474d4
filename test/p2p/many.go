//go:build linux

package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	machines = 8
	uplink   = 100 // Mbit/s
)

// many lets 8 machines pull at once, the publisher's uplink being slow.
func (b *bench) many(s *site) error {
	img, c, err := b.debianFor(s, machines)
	if err != nil {
		return err
	}
	if err := s.publisher.m.Limit(b.ctx, uplink); err != nil {
		return err
	}
	ours := b.out.table("8 machines pull at once, uplink 100 Mbit/s", fmt.Sprintf("image of %s", mb(img.size)))
	var ratios, images []float64
	for range b.rounds {
		o, err := c.ours(s, img)
		if err != nil {
			return err
		}
		t, err := c.theirs(s, img)
		if err != nil {
			return err
		}
		ours.add("image2ipfs", o, img.size)
		ours.add("docker-registry", t, img.size)
		ratios = append(ratios, o.wall.Seconds()/t.wall.Seconds())
		images = append(images, float64(o.left)/float64(img.size))
		b.say("%.1f s, %.2f images left the publisher; docker-registry %.1f s", o.wall.Seconds(), images[len(images)-1], t.wall.Seconds())
	}
	floor := float64(img.size) * 8 / uplink / 1e6
	b.out.verdict("8 machines pull at once: time against docker-registry", median(ratios), 0.25, "x",
		fmt.Sprintf("one image over the uplink takes %.1f s", floor))
	b.out.verdict("bytes that leave the publisher in that run", median(images), 1.6, "images", "")
	return nil
}

// debianFor publishes the Debian image and makes n machines.
func (b *bench) debianFor(s *site, n int) (image, crowd, error) {
	archive, err := b.base()
	if err != nil {
		return image{}, nil, err
	}
	img, err := s.publish(archive)
	if err != nil {
		return image{}, nil, err
	}
	c, err := s.crowd(n)
	return img, c, err
}

// killed kills the publisher as soon as half of the machines are done; those
// that began later must find everything among the others.
func (b *bench) killed(s *site) (err error) {
	img, c, err := b.debianFor(s, machines)
	if err != nil {
		return err
	}
	if err := errors.Join(s.publisher.m.Limit(b.ctx, uplink), s.publishing()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.serve(s.publisher); err != nil {
		return err
	}
	var done, late atomic.Int64
	half := make(chan struct{})
	go func() {
		<-half
		s.publisher.server.Kill()
	}()
	failed := c.each(func(i int, n *node) error {
		if i >= machines/2 { // so that these are not done when the first ones are
			wait := time.NewTimer(3 * time.Second)
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-half:
			}
		}
		if err := n.pull(our(img)); err != nil {
			return err
		}
		if number := done.Add(1); number == machines/2 {
			close(half)
		} else if number > machines/2 {
			late.Add(1)
		}
		return nil
	})
	if failed != nil {
		b.say("%v", failed)
	}
	s.publisher.server = nil // killed
	b.out.verdictAtLeast("publisher killed when half of the 8 are done: machines that complete", float64(done.Load()), machines, "", fmt.Sprintf("%d of them after the kill", late.Load()))
	return nil
}
