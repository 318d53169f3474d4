package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serve starts image2ipfs over a store.
func (b *bench) serve(store string, flags ...string) (addr string, stop func() cost, err error) {
	if addr, err = freePort(); err != nil {
		return "", nil, err
	}
	args := append([]string{b.binary, "serve", "--addr", addr}, flags...)
	stop, err = b.command(args...).env("IMAGE2IPFS_PATH="+store, "IPFS_PATH=", "IPFS_API=", "IPFS_GATEWAY=").daemon("http://" + addr + "/v2/")
	return addr, stop, err
}

// serving measures requests a second beside docker-registry and nginx.
func (b *bench) serving() error {
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
	redirecting, stopRedirecting, err := b.serve(store, "--gateway", "http://"+ours)
	if err != nil {
		return err
	}
	defer stopRedirecting()
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
	if err := b.requests(p, ours, redirecting, theirs); err != nil {
		return err
	}
	return b.giantBlob()
}

// requests loads all servers in turn.
func (b *bench) requests(p published, ours, redirecting, theirs string) error {
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
			l, err := loadFor(b.ctx, c.url, 8, 1500*time.Millisecond)
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
	addr, stop, err := b.serve(store)
	if err != nil {
		return err
	}
	defer stop()
	url := "http://" + addr + "/v2/" + p.Root.Ciq + "/x/blobs/" + p.Layers[0].Digest
	dir, err := b.fresh("nginx")
	if err != nil {
		return err
	}
	if err := fetchTo(b.ctx, url, filepath.Join(dir, "blob")); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	static, stopNginx, err := b.nginx(dir)
	if err != nil {
		return err
	}
	defer stopNginx()
	t := b.out.table("One blob of 1 GiB over HTTP on loopback", "image2ipfs")
	for round := range b.rounds + 1 {
		t.keep = round > 0
		for name, url := range map[string]string{"image2ipfs": url, "nginx": "http://" + static + "/blob"} {
			used, err := b.command("curl", "-sfo", "/dev/null", url).run()
			if err != nil {
				return err
			}
			t.add(name, used, "")
		}
	}
	t.ratio("time against nginx", "image2ipfs", 1.3, "nginx")
	return nil
}

func (b *bench) nginx(dir string) (addr string, stop func() cost, err error) {
	if addr, err = freePort(); err != nil {
		return "", nil, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	err = os.WriteFile(conf, fmt.Appendf(nil, `daemon off; worker_processes 2; pid %[1]s/pid; user root;
events {}
http { access_log off; sendfile on; server { listen %[2]s; root %[1]s; } }
`, dir, addr), 0o644)
	if err != nil {
		return "", nil, err
	}
	stop, err = b.command("nginx", "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")).daemon("http://" + addr + "/")
	return addr, stop, err
}
