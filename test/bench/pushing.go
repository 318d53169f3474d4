package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// pushed is what a push into one registry took: all in all, and of the server.
type pushed struct {
	whole  cost
	server time.Duration // CPU time
	memory int64         // the most that the server had so far
}

// target is a registry that is pushed to.
type target struct {
	name string
	open func() (addr string, server *daemon, err error) // server is nil for the sink
}

// at is how many pushes there are at once in the test of many.
const at = 8

// pushing measures pushes beside docker-registry, and beside a sink: most of a push is
// what the client does.
func (b *bench) pushing() error {
	if b.missing("push", "skopeo", "docker-registry") {
		return nil
	}
	archive, err := b.debian()
	if err != nil {
		return err
	}
	layout := b.path("in", "debian.layout")
	if _, err := os.Stat(layout); err != nil {
		if _, err := b.command("skopeo", "copy", "-q", "--insecure-policy", "docker-archive:"+archive, "oci:"+layout+":bench:1").run(); err != nil {
			return err
		}
	}
	discard, err := newSink()
	if err != nil {
		return err
	}
	defer discard.Close()
	targets := []target{
		{"image2ipfs", b.openOurs},
		{"docker-registry", b.openTheirs},
		{"sink", func() (string, *daemon, error) { return discard.addr, nil, nil }},
	}
	size := dirSize(layout)
	one := b.out.table("Push by skopeo from a layout of " + fmt.Sprintf("%.0f MB", float64(size)/1e6))
	again := b.out.table("The same pushed again, nothing new")
	many := b.out.table(fmt.Sprintf("%d pushes of it at once, each by another name", at))
	results := map[string][3][]pushed{}
	for round := range b.rounds + 1 {
		b.say("push, round %d of %d", round, b.rounds)
		for _, t := range []*table{one, again, many} {
			t.keep = round > 0
		}
		for _, to := range targets {
			got, err := b.pushRound(to, layout, size)
			if err != nil {
				return fmt.Errorf("%s: %w", to.name, err)
			}
			all := results[to.name]
			for i, t := range []*table{one, again, many} {
				t.add(to.name, got[i].whole, fmt.Sprintf("server %.2f s CPU, %.0f MiB", got[i].server.Seconds(), float64(got[i].memory)/(1<<20)))
				if round > 0 {
					all[i] = append(all[i], got[i])
				}
			}
			results[to.name] = all
		}
	}
	b.pushVerdicts(results)
	return nil
}

// pushRound pushes once, again, and many at once into another empty registry.
func (b *bench) pushRound(to target, layout string, size int64) (got [3]pushed, err error) {
	addr, server, err := to.open()
	if err != nil {
		return got, err
	}
	if got[0], err = b.pushTo(addr, server, layout, 1, size); err == nil {
		got[1], err = b.pushTo(addr, server, layout, 1, size)
	}
	end(server)
	if err != nil {
		return got, err
	}
	if addr, server, err = to.open(); err != nil {
		return got, err
	}
	defer end(server)
	got[2], err = b.pushTo(addr, server, layout, at, size)
	return got, err
}

func end(server *daemon) {
	if server != nil {
		server.stop()
	}
}

// pushTo pushes a layout by n names at once.
func (b *bench) pushTo(addr string, server *daemon, layout string, n int, size int64) (p pushed, err error) {
	if err := b.prime(min(size+slack, primed)); err != nil {
		return p, err
	}
	var before time.Duration
	if server != nil {
		before = server.CPU()
	}
	costs := make([]cost, n)
	var all errgroup.Group
	begin := time.Now()
	for i := range n {
		all.Go(func() (err error) {
			home, err := b.fresh(fmt.Sprintf("home%d", i)) // what skopeo remembers of blobs lies there
			if err != nil {
				return err
			}
			costs[i], err = b.command("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "oci:"+layout+":bench:1",
				fmt.Sprintf("docker://%s/bench/image%d:1", addr, i)).env("HOME="+home, "XDG_DATA_HOME="+home).run()
			return err
		})
	}
	err = all.Wait()
	p.whole.wall = time.Since(begin)
	for _, c := range costs {
		p.whole.cpu, p.whole.rss = p.whole.cpu+c.cpu, max(p.whole.rss, c.rss)
	}
	if server == nil || err != nil {
		return p, err
	}
	p.server = server.CPU() - before
	p.whole.cpu += p.server
	p.memory, err = server.PeakMemory()
	return p, err
}

func (b *bench) openOurs() (string, *daemon, error) {
	store, err := b.lasting("store")
	if err != nil {
		return "", nil, err
	}
	push, err := process.FreeAddr()
	if err != nil {
		return "", nil, err
	}
	_, d, err := b.serve(store, "--push", push)
	return push, d, err
}

func (b *bench) openTheirs() (string, *daemon, error) {
	dir, err := b.lasting("registry")
	if err != nil {
		return "", nil, err
	}
	return b.registry(dir)
}

// pushVerdicts compares what is left of the times without what the client does.
func (b *bench) pushVerdicts(results map[string][3][]pushed) {
	ours, theirs, sink := results["image2ipfs"], results["docker-registry"], results["sink"]
	memory := int64(0)
	for i, what := range []string{"one push", "a push of nothing new", fmt.Sprintf("%d pushes at once", at)} {
		var walls, cpus []float64
		for round, o := range ours[i] {
			t, s := theirs[i][round], sink[i][round].whole.wall
			if i == 1 {
				s = 0 // whole times
			}
			walls = append(walls, float64(o.whole.wall-s)/float64(t.whole.wall-s))
			cpus = append(cpus, float64(o.server)/float64(t.server))
			memory = max(memory, o.memory)
		}
		how := "time beyond the sink's"
		if i == 1 {
			how = "time"
		}
		b.out.verdict(verdict{what: what + ": " + how + ", against docker-registry's", got: median(walls), atMost: 0.7, unit: "x"})
		b.out.verdict(verdict{what: what + ": the server's CPU time, against docker-registry's", got: median(cpus), atMost: 0.7, unit: "x"})
	}
	b.out.verdict(verdict{what: "the server's memory in pushes, at most", got: float64(memory) / (1 << 20), atMost: 96, unit: "MiB"})
}
