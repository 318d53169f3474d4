package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// pulling lets a containerd of its own pull the same image from us and from
// docker-registry. It starts no container.
func (b *bench) pulling() error {
	if !have("containerd") || !have("ctr") || os.Getuid() != 0 {
		b.say("pull is left out: it needs root, containerd and ctr")
		return nil
	}
	v1, _, _, err := b.debianRoots()
	if err != nil {
		return err
	}
	archive, err := b.write("debian", root(v1), application(1))
	if err != nil {
		return err
	}
	store, err := b.fresh("store")
	if err != nil {
		return err
	}
	p, _, err := b.publish(store, archive)
	if err != nil {
		return err
	}
	ours, stopOurs, err := b.serve(store)
	if err != nil {
		return err
	}
	defer stopOurs()
	dir, err := b.fresh("registry")
	if err != nil {
		return err
	}
	theirs, stopTheirs, err := b.registry(dir)
	if err != nil {
		return err
	}
	defer stopTheirs()
	if _, err := b.push(archive, theirs, "bench/debian:1"); err != nil {
		return err
	}
	socket, stop, err := b.containerd()
	if err != nil {
		return err
	}
	defer stop()
	t := b.out.table("A whole pull by containerd", "image2ipfs")
	for round := range b.rounds + 1 {
		t.keep = round > 0
		for name, image := range map[string]string{
			"image2ipfs":      ours + "/" + p.Root.Ciq + "/bench/debian:1",
			"docker-registry": theirs + "/bench/debian:1",
		} {
			used, err := b.pull(socket, image)
			if err != nil {
				return err
			}
			t.add(name, used, "")
		}
	}
	t.ratio("time against docker-registry", "image2ipfs", 1.0, "docker-registry")
	return nil
}

func (b *bench) containerd() (socket string, stop func() cost, err error) {
	dir, err := b.fresh("containerd")
	if err != nil {
		return "", nil, err
	}
	socket = filepath.Join(dir, "sock")
	config := filepath.Join(dir, "config.toml")
	err = os.WriteFile(config, fmt.Appendf(nil, `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = %q
[ttrpc]
address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, socket+".ttrpc"), 0o644)
	if err != nil {
		return "", nil, err
	}
	stop, err = b.command("containerd", "--config", config, "--log-level", "error").daemon("unix:" + socket)
	return socket, stop, err
}

// pull pulls an image and removes it, with all that came with it.
func (b *bench) pull(socket, image string) (cost, error) {
	ctr := func(args ...string) (cost, error) {
		return b.command(append([]string{"ctr", "-a", socket}, args...)...).run()
	}
	used, err := ctr("images", "pull", "--plain-http", image)
	if err != nil {
		return used, err
	}
	_, err = ctr("images", "rm", "--sync", image)
	return used, err
}

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
	if _, err := b.command(args...).env("IMAGE2IPFS_PATH="+store, "IPFS_PATH=", "IPFS_API=").run(); err != nil {
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
	addr, stop, err := b.serve(store)
	if err != nil {
		return 0, err
	}
	defer stop()
	_, err = get(b.ctx, http.DefaultClient, "http://"+addr+"/v2/"+p.Root.Ciq+"/x/manifests/"+p.Images[0].Digest)
	return time.Since(begin), err
}
