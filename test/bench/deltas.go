package main

import (
	"fmt"
	"os"
)

// deltas measures what an update costs in a store that has its predecessor.
func (b *bench) deltas() error {
	v1, v2, v1m, err := b.debianRoots()
	if err != nil {
		return err
	}
	lines := []string{deltaHead, deltaRule}
	for _, pair := range []struct {
		name, from, to string
		before, after  []source
		atMost         float64
	}{
		{"upgraded Debian root", "root1", "root2", []source{root(v1)}, []source{root(v2)}, 0.28},
		{"the same files with new mtimes", "root1", "root1m", []source{root(v1)}, []source{root(v1m)}, 0.16},
		{"files seen in another image", "root1", "copied", []source{root(v1)}, []source{copied(v1)}, 0.09},
		{"application layer rebuilt", "app1", "app2", []source{application(1)}, []source{application(2)}, 0},
	} {
		line, ratio, err := b.delta(pair.from, pair.to, pair.before, pair.after)
		if err != nil {
			return fmt.Errorf("%s: %w", pair.name, err)
		}
		lines = append(lines, line)
		if pair.atMost > 0 {
			b.out.verdict(verdict{what: "newly stored: " + pair.name, got: ratio, atMost: pair.atMost, unit: "of whole gzip"})
		}
	}
	b.out.section("What updates store", lines...)
	return nil
}

// The table of deltas.
const (
	deltaHead = "| first | then | whole, gzip -6 | newly stored | blocks | ratio |"
	deltaRule = "|---|---|---|---|---|---|"
)

// delta publishes one image and then another, with more arguments of publish.
func (b *bench) delta(from, to string, before, after []source, args ...string) (line string, ratio float64, err error) {
	old, err := b.write(from, before...)
	if err != nil {
		return "", 0, err
	}
	now, err := b.write(to, after...)
	if err != nil {
		return "", 0, err
	}
	size, err := b.gzipped(now)
	if err != nil {
		return "", 0, err
	}
	store, err := b.fresh("store")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(store)
	first, _, err := b.publish(store, old, args...)
	if err != nil {
		return "", 0, err
	}
	p, _, err := b.publish(store, now, args...)
	if err != nil {
		return "", 0, err
	}
	ratio = float64(p.NewBytes) / float64(size)
	return fmt.Sprintf("| %s, %.1f MB | %s | %.1f MB | %.1f MB | %d | %.3f |",
		from, float64(first.NewBytes)/1e6, to, float64(size)/1e6, float64(p.NewBytes)/1e6, p.NewBlocks, ratio), ratio, nil
}
