package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// serving measures requests a second beside docker-registry and nginx.
func (b *bench) serving() error {
	if b.missing("serve", "skopeo", "docker-registry", "nginx", "curl") {
		return nil
	}
	s, err := b.stage()
	if err != nil {
		return err
	}
	defer s.close()
	redirecting, d, err := b.serve(s.store, "--gateway", "http://"+s.ours)
	if err != nil {
		return err
	}
	defer d.stop()
	if err := b.requests(s, redirecting); err != nil {
		return err
	}
	return b.giantBlob()
}

// requests loads all servers in turn.
func (b *bench) requests(s *stage, redirecting string) error {
	p, ours, theirs := s.p, s.ours, s.theirs
	digest, blob, err := theirDigests(theirs, "bench/debian")
	if err != nil {
		return err
	}
	mine := "http://" + ours + "/v2/" + p.Root.Ciq + "/bench/debian"
	layer := p.Layers[0].Digest
	config, err := configDigest(mine + "/manifests/" + p.Images[0].Digest)
	if err != nil {
		return err
	}
	contenders := []struct{ name, url string }{
		{"image2ipfs, manifest by digest", mine + "/manifests/" + p.Images[0].Digest},
		{"image2ipfs, manifest by tag", mine + "/manifests/1"},
		{"image2ipfs, redirect of a blob", strings.Replace(mine, ours, redirecting, 1) + "/blobs/" + layer},
		{"image2ipfs, blob (config)", mine + "/blobs/" + config},
		{"docker-registry, manifest by digest", "http://" + theirs + "/v2/bench/debian/manifests/" + digest},
		{"docker-registry, manifest by tag", "http://" + theirs + "/v2/bench/debian/manifests/1"},
		{"docker-registry, blob (config)", "http://" + theirs + "/v2/bench/debian/blobs/" + blob},
	}
	results := map[string][]load{}
	for round := range b.rounds + 1 {
		for _, c := range contenders {
			l, err := loadFor(b.ctx, c.url, 8, time.Second)
			if err != nil {
				return err
			}
			if round > 0 {
				results[c.name] = append(results[c.name], l)
			}
		}
	}
	lines := []string{"| 8 connections | requests a second | p50 ms | p99 ms | status |", "|---|---|---|---|---|"}
	rate := map[string]float64{}
	for _, c := range contenders {
		l := medianLoad(results[c.name])
		rate[c.name] = l.rate
		lines = append(lines, fmt.Sprintf("| %s | %.0f | %.2f | %.2f | %d |", c.name, l.rate, ms(l.p50), ms(l.p99), l.status))
	}
	b.out.section("Requests", lines...)
	b.out.verdict(verdict{what: "manifests a second, against docker-registry's", got: rate[contenders[0].name] / rate[contenders[4].name], atMost: 3, atLeast: true, unit: "x"})
	b.out.verdict(verdict{what: "redirects a second, against docker-registry's blob answers", got: rate[contenders[2].name] / rate[contenders[6].name], atMost: 5, atLeast: true, unit: "x"})
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// giantBlob fetches one blob of 1 GiB from us and from nginx.
func (b *bench) giantBlob() error {
	archive, err := b.write("blob", made("g", 1, 1<<30-4096, 1))
	if err != nil {
		return err
	}
	store, err := b.fresh("store2")
	if err != nil {
		return err
	}
	defer os.RemoveAll(store)
	p, _, err := b.publish(store, archive, "--compression", "none")
	if err != nil {
		return err
	}
	addr, server, err := b.serve(store)
	if err != nil {
		return err
	}
	defer server.stop()
	url := "http://" + addr + "/v2/" + p.Root.Ciq + "/x/blobs/" + p.Layers[0].Digest
	dir, err := b.fresh("nginx")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := fetchTo(b.ctx, url, filepath.Join(dir, "blob")); err != nil {
		return err
	}
	static, nginx, err := b.nginx(dir)
	if err != nil {
		return err
	}
	defer nginx.stop()
	t := b.out.table("One blob of 1 GiB over HTTP on loopback")
	err = b.turns(t, b.rounds, 0, []contender{
		{name: "image2ipfs", run: b.fetches("image2ipfs", url, server)},
		{name: "nginx", run: b.fetches("nginx", "http://"+static+"/blob", nginx)},
	})
	t.ratio("time against nginx", "image2ipfs", 1.3, "nginx")
	return err
}

// fetches gets a URL; the time of the server counts.
func (b *bench) fetches(name, url string, server *daemon) func(*table) error {
	return func(t *table) error {
		before := server.CPU()
		used, err := b.command("curl", "-sfo", "/dev/null", url).run()
		if err == nil {
			used.cpu += server.CPU() - before
			t.add(name, used, "")
		}
		return err
	}
}

// nginx serves a directory from one process.
func (b *bench) nginx(dir string) (addr string, d *daemon, err error) {
	if addr, err = process.FreeAddr(); err != nil {
		return "", nil, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	err = os.WriteFile(conf, fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid;
events {}
http { access_log off; sendfile on; server { listen %[2]s; root %[1]s; } }
`, dir, addr), 0o644)
	if err != nil {
		return "", nil, err
	}
	d, err = b.command("nginx", "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")).daemon("http://" + addr + "/")
	return addr, d, err
}
