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
	uplink   = 100  // Mbit/s
	leaving  = 1.15 // images that may leave the publisher until all machines have one
)

// many lets 8 machines pull at once, the publisher's uplink being slow.
func (b *bench) many(s *site) error {
	archive, err := b.base()
	if err != nil {
		return err
	}
	return b.together(s, archive, "8 machines pull at once", 0, 0.25)
}

// staggered lets them begin one each second.
func (b *bench) staggered(s *site) error {
	archive, err := b.base()
	if err != nil {
		return err
	}
	return b.together(s, archive, "8 machines pull, one begins each second", time.Second, 0)
}

// small lets them pull an image of many small layers.
func (b *bench) small(s *site) error {
	var layers []string
	for i := range 96 {
		layer, err := b.files(fmt.Sprint("small", i), 1, 300<<10, nil)
		if err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	archive, err := b.archive("small", layers...)
	if err != nil {
		return err
	}
	return b.together(s, archive, "8 machines pull 96 small layers at once", 0, 0)
}

// five lets them pull an image of five layers that have no block twice.
func (b *bench) five(s *site) error {
	var layers []string
	for i, mebibytes := range []int{30, 20, 15, 8, 3} {
		layer, err := b.noise(fmt.Sprint("five", i), mebibytes)
		if err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	archive, err := b.archive("five", layers...)
	if err != nil {
		return err
	}
	return b.together(s, archive, "8 machines pull five layers at once", 0, 0)
}

// together lets 8 machines pull an image, the publisher's uplink being slow. The target
// is the time against docker-registry's, 0 for none.
func (b *bench) together(s *site, archive, title string, step time.Duration, atMost float64) error {
	img, err := s.publish(archive)
	if err != nil {
		return err
	}
	c, err := s.crowd(machines)
	if err != nil {
		return err
	}
	if err := s.publisher.m.Limit(b.ctx, uplink); err != nil {
		return err
	}
	ours := b.out.table(fmt.Sprintf("%s, uplink %d Mbit/s", title, uplink), fmt.Sprintf("image of %s", mb(img.size)))
	var ratios, images []float64
	for range b.rounds {
		o, err := c.ours(s, img, step)
		if err != nil {
			return err
		}
		t, err := c.theirs(s, img, step)
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
	b.out.verdict(title+": time against docker-registry", median(ratios), atMost, "x",
		fmt.Sprintf("one image over the uplink takes %.1f s", floor))
	b.out.verdict("bytes that leave the publisher in that run", median(images), leaving, "images", "")
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
