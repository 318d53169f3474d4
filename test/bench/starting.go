package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

// starting measures a server's start over a store of a thousand images, and
// the size of the binary.
func (b *bench) starting() error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.out.verdict(verdict{what: "binary, stripped", got: float64(info.Size()) / 1e6, atMost: 45, unit: "MB"})
	store, err := b.fresh("many")
	if err != nil {
		return err
	}
	b.say("a store of 1,000 images")
	var archives []string
	defer func() {
		for _, a := range archives {
			os.Remove(a)
		}
	}()
	for i := range 1000 {
		archive, err := b.write(fmt.Sprintf("many%d", i), made(fmt.Sprintf("m%d", i), 3, 20e3, uint64(i)<<20))
		if err != nil {
			return err
		}
		archives = append(archives, archive)
	}
	args := append([]string{b.binary, "publish", "-q"}, archives...)
	if _, err := b.command(args...).env(ownStore(store)...).run(); err != nil {
		return err
	}
	p, _, err := b.publish(store, archives[500])
	if err != nil {
		return err
	}
	var times []time.Duration
	for range b.rounds + 1 {
		used, err := b.firstAnswer(store, p)
		if err != nil {
			return err
		}
		times = append(times, used)
	}
	b.out.verdict(verdict{what: "server start to the first manifest, store with 1,000 images", got: ms(median(times[1:])), atMost: 150, unit: "ms"})
	return nil
}

func (b *bench) firstAnswer(store string, p published) (time.Duration, error) {
	begin := time.Now()
	addr, d, err := b.serve(store)
	if err != nil {
		return 0, err
	}
	defer d.stop()
	_, err = get(b.ctx, http.DefaultClient, "http://"+addr+"/v2/"+p.Root.Ciq+"/x/manifests/"+p.Images[0].Digest)
	return time.Since(begin), err
}
