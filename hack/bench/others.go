package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// registry starts Debian's docker-registry over a directory.
func (b *bench) registry(dir string) (addr string, stop func() cost, err error) {
	if addr, err = freePort(); err != nil {
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
	stop, err = b.command("docker-registry", "serve", config).daemon("http://" + addr + "/v2/")
	return addr, stop, err
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

func (b *bench) publishSkopeo(t *table, archive string) error {
	if !have("skopeo") || !have("docker-registry") {
		return nil
	}
	dir, err := b.fresh("registry")
	if err != nil {
		return err
	}
	addr, stop, err := b.registry(dir)
	if err != nil {
		return err
	}
	used, err := b.push(archive, addr, "bench/image:1")
	server := stop()
	if err != nil {
		return err
	}
	used.cpu += server.cpu
	t.add("skopeo", used, fmt.Sprintf("%.1f MB", float64(dirSize(filepath.Join(dir, "data")))/1e6))
	_, err = b.fresh("registry")
	return err
}

// kuboDaemon starts Kubo, offline, over a new repository.
func (b *bench) kuboDaemon() (api string, vars []string, stop func() cost, err error) {
	repo, err := b.fresh("kubo")
	if err != nil {
		return "", nil, nil, err
	}
	vars = []string{"IPFS_PATH=" + repo}
	addr, err := freePort()
	if err != nil {
		return "", nil, nil, err
	}
	host, port, _ := cutPort(addr)
	for _, args := range [][]string{
		{"init", "--empty-repo"},
		{"config", "Addresses.API", "/ip4/" + host + "/tcp/" + port},
		{"config", "Addresses.Gateway", "/ip4/127.0.0.1/tcp/0"},
		{"config", "--json", "Addresses.Swarm", "[]"},
	} {
		if _, err := b.command(append([]string{b.kubo}, args...)...).env(vars...).run(); err != nil {
			return "", nil, nil, err
		}
	}
	api = "http://" + addr
	stop, err = b.command(b.kubo, "daemon", "--offline").env(vars...).daemon(api + "/api/v0/version")
	return api, vars, stop, err
}

func (b *bench) publishKubo(t *table, archive string) error {
	if b.kubo == "" {
		return nil
	}
	if err := b.onKubo(t, "kubo", func(api string, _ []string) (cost, error) {
		_, used, err := b.publish(b.path("run", "nostore"), archive, "--api", api)
		return used, err
	}); err != nil {
		return err
	}
	return b.onKubo(t, "ipfs add", func(_ string, vars []string) (cost, error) {
		return b.command(b.kubo, "add", "-Q", "--progress=false", "--cid-version=1", archive).env(vars...).run()
	})
}

// onKubo runs something against a fresh daemon, whose time counts as well.
func (b *bench) onKubo(t *table, name string, run func(api string, vars []string) (cost, error)) error {
	api, vars, stop, err := b.kuboDaemon()
	if err != nil {
		return err
	}
	used, err := run(api, vars)
	server := stop()
	if err != nil {
		return err
	}
	used.cpu += server.cpu
	t.add(name, used, "")
	_, err = b.fresh("kubo")
	return err
}
