//go:build linux

package main

import (
	"fmt"
	"os"
)

// grow measures how the time grows with the number of machines that pull at
// once, and draws it.
func (b *bench) grow(s *site) error {
	noise, err := b.noise("growth", 32)
	if err != nil {
		return err
	}
	archive, err := b.archive("growth", noise)
	if err != nil {
		return err
	}
	img, err := s.publish(archive)
	if err != nil {
		return err
	}
	if err := s.publisher.m.Limit(b.ctx, uplink); err != nil {
		return err
	}
	floor := float64(img.size) * 8 / uplink / 1e6
	t := b.out.growth(fmt.Sprintf("image of %s, uplink %d Mbit/s: once over the uplink takes %.1f s", mb(img.size), uplink, floor), mb(img.size))
	var all crowd
	for _, n := range b.growth {
		if n > len(all) {
			more, err := s.crowd(n - len(all))
			if err != nil {
				return err
			}
			all = append(all, more...)
		}
		ours, err := all[:n].ours(s, img, 0)
		if err != nil {
			return fmt.Errorf("%d machines: %w", n, err)
		}
		theirs, err := all[:n].theirs(s, img, 0)
		if err != nil {
			return fmt.Errorf("%d machines, docker-registry: %w", n, err)
		}
		t.add(n, ours, theirs, img.size)
		b.say("%d machines: %.1f s, docker-registry %.1f s", n, ours.wall.Seconds(), theirs.wall.Seconds())
	}
	if b.chart == "" {
		return nil
	}
	return os.WriteFile(b.chart, t.svg(floor), 0o644)
}
