package main

import (
	"net"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// kuboDaemon is Kubo, offline, over a repository of its own.
type kuboDaemon struct {
	*daemon
	b    *bench
	repo string
	api  string
}

func (b *bench) startKubo() (*kuboDaemon, error) {
	k := &kuboDaemon{b: b}
	var err error
	if k.repo, err = b.lasting("kubo"); err != nil {
		return nil, err
	}
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"init", "--empty-repo"},
		{"config", "Addresses.API", "/ip4/" + host + "/tcp/" + port},
		{"config", "Addresses.Gateway", "/ip4/127.0.0.1/tcp/0"},
		{"config", "--json", "Addresses.Swarm", "[]"},
	} {
		if _, err := k.ipfs(args...).run(); err != nil {
			return nil, err
		}
	}
	k.api = "http://" + addr
	k.daemon, err = k.ipfs("daemon", "--offline").daemon(k.api + "/api/v0/version")
	return k, err
}

func (k *kuboDaemon) ipfs(args ...string) *command {
	return k.b.command(append([]string{k.b.kubo}, args...)...).env("IPFS_PATH=" + k.repo)
}

// export writes the blocks below a root to a CAR file.
func (k *kuboDaemon) export(root, path string) error {
	_, err := k.b.command("sh", "-c", `exec "$0" dag export --progress=false "$1" >"$2"`, k.b.kubo, root, path).env("IPFS_PATH=" + k.repo).run()
	return err
}

// onKubo runs something against a fresh daemon, whose time counts as well.
func (b *bench) onKubo(t *table, name string, run func(k *kuboDaemon) (cost, error)) error {
	if b.kubo == "" {
		return nil
	}
	k, err := b.startKubo()
	if err != nil {
		return err
	}
	used, err := run(k)
	used.cpu += k.stop().cpu
	if err == nil {
		t.add(name, used, "")
	}
	return err
}

// publishKubo publishes through Kubo, and leaves for importAlone what it had to
// import.
func (b *bench) publishKubo(t *table, i image) error {
	return b.onKubo(t, "kubo", func(k *kuboDaemon) (cost, error) {
		store := b.path("run", "nostore")
		if t.keep { // without --json, for which one more request for each block counts what is new
			tmp, err := b.fresh("tmp")
			if err != nil {
				return cost{}, err
			}
			return b.command(b.binary, "publish", "-q", i.path, "--api", k.api).env(ownStore(store)...).watch(tmp).run()
		}
		p, used, err := b.publish(store, i.path, "--api", k.api)
		if err != nil {
			return used, err
		}
		return used, k.export(p.Root.V1, b.car(i))
	})
}

// car is the file that holds the blocks of an image.
func (b *bench) car(i image) string { return b.path("run", i.name+".car") }

// importAlone is the floor of a publication through Kubo: the blocks are made
// already, and Kubo imports and pins them.
func (b *bench) importAlone(t *table, i image) error {
	return b.onKubo(t, "kubo alone: ipfs dag import of the same blocks", func(k *kuboDaemon) (cost, error) {
		return k.ipfs("dag", "import", "--pin-roots", b.car(i)).run()
	})
}

func (b *bench) ipfsAdd(t *table, archive string) error {
	return b.onKubo(t, "ipfs add", func(k *kuboDaemon) (cost, error) {
		return k.ipfs("add", "-Q", "--progress=false", "--cid-version=1", archive).run()
	})
}
