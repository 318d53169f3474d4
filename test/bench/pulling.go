package main

import (
	"os"

	"github.com/image2ipfs/image2ipfs/test/containerdconf"
)

// pulling lets containerds of its own pull the same image from us and from
// docker-registry. It starts no container.
func (b *bench) pulling() error {
	if os.Getuid() != 0 {
		b.say("pull is left out: it needs root")
		return nil
	}
	if b.missing("pull", "skopeo", "docker-registry", "containerd", "ctr") {
		return nil
	}
	s, err := b.stage()
	if err != nil {
		return err
	}
	defer s.close()
	images := []struct {
		name, image string
		server      *daemon
	}{
		{"image2ipfs", s.ours + "/" + s.p.Root.Ciq + "/bench/debian:1", s.server},
		{"docker-registry", s.theirs + "/bench/debian:1", s.registry},
	}
	var contenders []contender
	for _, unpigz := range []bool{false, true} {
		for _, i := range images {
			if unpigz {
				i.name += ", unpigz"
			}
			contenders = append(contenders, contender{name: i.name, run: func(t *table) error {
				used, err := b.pull(i.image, i.server, unpigz)
				if err == nil {
					t.add(i.name, used, "")
				}
				return err
			}})
		}
	}
	t := b.out.table("A whole pull by containerd")
	err = b.turns(t, b.rounds, s.p.Size, contenders)
	t.ratio("time against docker-registry", "image2ipfs", 1.0, "docker-registry")
	t.ratio("the same with pigz installed, which containerd then uses", "image2ipfs, unpigz", 1.0, "docker-registry, unpigz")
	return err
}

// containerd starts one that has nothing yet. It decompresses by itself, or by
// unpigz as it does wherever that is installed.
func (b *bench) containerd(unpigz bool) (socket string, d *daemon, err error) {
	dir, err := b.lasting("containerd")
	if err != nil {
		return "", nil, err
	}
	socket, config, err := containerdconf.Write(dir)
	if err != nil {
		return "", nil, err
	}
	c := b.command("containerd", "--config", config, "--log-level", "error")
	if !unpigz {
		c.env("CONTAINERD_DISABLE_PIGZ=1")
	}
	d, err = c.daemon("unix:" + socket)
	return socket, d, err
}

// pull pulls an image into a new containerd. The time of both servers counts as
// well.
func (b *bench) pull(image string, server *daemon, unpigz bool) (cost, error) {
	socket, d, err := b.containerd(unpigz)
	if err != nil {
		return cost{}, err
	}
	defer d.stop()
	before := d.CPU() + server.CPU()
	used, err := b.command("ctr", "-a", socket, "images", "pull", "--plain-http", image).run()
	used.cpu += d.CPU() + server.CPU() - before
	return used, err
}
