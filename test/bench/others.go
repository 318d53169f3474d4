package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// registry starts Debian's docker-registry over a directory.
func (b *bench) registry(dir string) (addr string, d *daemon, err error) {
	if addr, err = process.FreeAddr(); err != nil {
		return "", nil, err
	}
	config := filepath.Join(dir, "config.yml")
	err = os.WriteFile(config, fmt.Appendf(nil, `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {cache: {blobdescriptor: inmemory}, filesystem: {rootdirectory: %s}}
http: {addr: %q}
`, filepath.Join(dir, "data"), addr), 0o644)
	if err != nil {
		return "", nil, err
	}
	d, err = b.command("docker-registry", "serve", config).daemon("http://" + addr + "/v2/")
	return addr, d, err
}

// push copies a docker archive into a registry.
func (b *bench) push(archive, addr, name string) (cost, error) {
	tmp, err := b.fresh("tmp")
	if err != nil {
		return cost{}, err
	}
	return b.command("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
		"docker-archive:"+archive, "docker://"+addr+"/"+name).watch(tmp).run()
}

// publishSkopeo pushes into a registry of its own, whose time counts as well.
func (b *bench) publishSkopeo(t *table, archive string) error {
	if !have("skopeo") || !have("docker-registry") {
		return nil
	}
	dir, err := b.fresh("registry")
	if err != nil {
		return err
	}
	addr, d, err := b.registry(dir)
	if err != nil {
		return err
	}
	used, err := b.push(archive, addr, "bench/image:1")
	used.cpu += d.stop().cpu
	if err == nil {
		t.add("skopeo", used, fmt.Sprintf("%.1f MB", float64(dirSize(filepath.Join(dir, "data")))/1e6))
	}
	return errors.Join(err, os.RemoveAll(dir))
}
