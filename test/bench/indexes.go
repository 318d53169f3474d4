package main

import (
	"fmt"
	"os"
	"strings"
)

// The forms of layers that are compared.
var (
	plainGzip  = form{name: "gzip"}
	lazyGzip   = form{name: "gzip --lazy", args: []string{"--lazy"}}
	plainZstd  = form{name: "zstd", args: []string{"--compression", "zstd"}}
	zstdChunks = form{name: "zstd:chunked", args: []string{"--compression", "zstd:chunked"}}
)

// form is how layers are published.
type form struct {
	name string
	args []string
}

// indexes measures what the index of a layer costs: bytes, time, memory, and what
// is stored anew after an update.
func (b *bench) indexes() error {
	archive, err := b.debian()
	if err != nil {
		return err
	}
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	var contenders []contender
	for _, f := range []form{plainGzip, lazyGzip, plainZstd, zstdChunks} {
		contenders = append(contenders, contender{name: f.name, run: func(t *table) (err error) {
			sizes[f.name], err = b.publishForm(t, f, archive)
			return err
		}})
	}
	t := b.out.table("Layers with an index (docker archive of debian)")
	t.prefix = "index: "
	if err := b.turns(t, b.rounds, info.Size(), contenders); err != nil {
		return err
	}
	t.ratio("publish, gzip --lazy against gzip", lazyGzip.name, 1.1, plainGzip.name)
	t.ratio("publish, zstd:chunked against zstd", zstdChunks.name, 0, plainZstd.name)
	for _, pair := range []struct {
		with, without      form
		atMostSize, memory float64
	}{{lazyGzip, plainGzip, 0.8, 1.05}, {zstdChunks, plainZstd, 0, 0}} {
		added := 100 * float64(sizes[pair.with.name]-sizes[pair.without.name]) / float64(sizes[pair.without.name])
		b.out.verdict(verdict{what: "index: bytes that " + pair.with.name + " adds to " + pair.without.name, got: added, atMost: pair.atMostSize, unit: "%"})
		more := float64(t.median(pair.with.name).rss) / float64(t.median(pair.without.name).rss)
		b.out.verdict(verdict{what: "index: peak memory, " + pair.with.name + " against " + pair.without.name, got: more, atMost: pair.memory, unit: "x"})
	}
	return b.indexDeltas()
}

// publishForm publishes into a fresh store, and gives the layers' bytes.
func (b *bench) publishForm(t *table, f form, archive string) (size int64, err error) {
	store, err := b.fresh("store")
	if err != nil {
		return 0, err
	}
	p, used, err := b.publish(store, archive, f.args...)
	if err != nil {
		return 0, err
	}
	for _, l := range p.Layers {
		size += l.Size
	}
	t.add(f.name, used, fmt.Sprintf("%.2f MB in %d blocks", float64(size)/1e6, p.NewBlocks))
	return size, os.RemoveAll(store)
}

// indexDeltas measures what an upgraded root stores in a store that has the one before.
func (b *bench) indexDeltas() error {
	v1, v2, _, err := b.debianRoots()
	if err != nil {
		return err
	}
	lines := []string{deltaHead, deltaRule}
	for _, f := range []struct {
		form
		atMost float64
	}{{lazyGzip, 0.26}, {zstdChunks, 0.22}} {
		line, ratio, err := b.delta("root1", "root2", []source{root(v1)}, []source{root(v2)}, f.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		lines = append(lines, strings.Replace(line, "| root1", "| "+f.name+": root1", 1))
		b.out.verdict(verdict{what: "newly stored: upgraded Debian root, " + f.name, got: ratio, atMost: f.atMost, unit: "of whole gzip"})
	}
	b.out.section("What updates store, of layers with an index", lines...)
	return nil
}
