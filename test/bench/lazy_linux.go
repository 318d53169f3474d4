package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/test/netlab"
	"github.com/image2ipfs/image2ipfs/test/process"
)

// firstOutput is the program that containers run: Python with what a small service
// imports. What counts is when it has said something.
const firstOutput = `import json, ssl, urllib.request, sqlite3; print("ready", flush=True)`

// lazyRoot is the Debian with the engines, as hack/engines.sh makes it.
func lazyRoot() string {
	work := os.Getenv("IMAGE2IPFS_E2E")
	if work == "" {
		work = filepath.Join(os.TempDir(), "image2ipfs-e2e")
	}
	return filepath.Join(work, "chroot")
}

// lazySite is a network of a publisher, which has the images in all forms, and a node
// whose engines pull from it, or from the node's own server.
type lazySite struct {
	b                *bench
	lab              *netlab.Lab
	publisher, node  *netlab.Machine
	store            string
	server, own      *process.Process
	root, inner      string // the engines' Debian, and a directory as they see it
	stargz, ownStore string
	engines          int
}

// link is how fast the publisher may send, and by whom the node's engine gets blobs.
type link struct {
	name     string
	megabits int // 0 for no limit
	peers    bool
}

var lazyLinks = []link{
	{"no limit", 0, false}, {"100 Mbit/s", 100, false}, {"50 Mbit/s", 50, false}, {"from a peer, 50 Mbit/s", 50, true},
}

// lazily measures lazy pulls beside whole ones of the same layers by the same engine,
// and what podman fetches of an update.
func (b *bench) lazily() error {
	if _, err := os.Stat(filepath.Join(lazyRoot(), "usr/bin/containerd")); err != nil || os.Geteuid() != 0 {
		b.say("lazy is left out: it needs root, and the engines of hack/engines.sh up, in whose machine it runs: hack/engines.sh run go run ./test/bench -only lazy")
		return nil
	}
	s, err := b.lazySite()
	if err != nil {
		return err
	}
	defer func() {
		if err := s.close(); err != nil {
			b.say("%v", err)
		}
	}()
	var results []lazyResult
	for _, f := range []form{lazyGzip, zstdChunks} {
		r, err := s.compare(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		results = append(results, r)
	}
	update, err := s.podmanUpdate()
	if err != nil {
		return fmt.Errorf("podman's update: %w", err)
	}
	b.lazyReport(results, update)
	return nil
}

func (b *bench) lazySite() (s *lazySite, err error) {
	s = &lazySite{b: b, root: lazyRoot(), inner: "/eng/bench-lazy", stargz: b.path("stargz")}
	build := b.command("go", "build", "-C", "test/stargz", "-o", s.stargz, ".").env("CGO_ENABLED=0")
	build.limit = time.Hour
	if _, err := build.run(); err != nil {
		return nil, err
	}
	if err := errors.Join(s.unmount(), os.RemoveAll(s.outer("")), os.MkdirAll(s.outer(""), 0o755)); err != nil {
		return nil, err
	}
	if err := exec.CommandContext(b.ctx, "cp", s.stargz, s.outer("stargz")).Run(); err != nil {
		return nil, err
	}
	if s.store, err = b.fresh("lazy-published"); err != nil {
		return nil, err
	}
	if s.lab, err = netlab.New(b.ctx); err != nil {
		return nil, err
	}
	if s.publisher, err = s.lab.Machine(b.ctx); err == nil {
		s.node, err = s.lab.Machine(b.ctx)
	}
	if err == nil {
		s.server, err = s.serve(s.publisher, s.store, s.publisher.IP+":5000", "--swarm-listen", "/ip4/0.0.0.0/tcp/4001")
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *lazySite) close() error {
	for _, p := range []*process.Process{s.own, s.server} {
		if p != nil {
			_ = p.Stop() // how it ends is no part of what is measured
		}
	}
	return errors.Join(s.lab.Close(), s.unmount(), os.RemoveAll(s.outer("")))
}

// outer is a path below the engines' directory, as it is seen from here.
func (s *lazySite) outer(name string) string { return filepath.Join(s.root, s.inner, name) }

// unmount ends what engines have left mounted.
func (s *lazySite) unmount() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for _, line := range slices.Backward(strings.Split(string(mounts), "\n")) { // those mounted last first
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], s.outer("")+"/") {
			err = errors.Join(err, exec.Command("umount", "-l", f[1]).Run())
		}
	}
	return err
}

// serve starts image2ipfs on a machine.
func (s *lazySite) serve(m *netlab.Machine, store, addr string, flags ...string) (*process.Process, error) {
	cmd := m.Command(s.b.ctx, append([]string{s.b.binary, "serve", "--addr", addr}, flags...)...)
	cmd.Env = append(os.Environ(), ownStore(store)...)
	return process.Start(s.b.ctx, cmd, s.outer("serve-"+strings.ReplaceAll(addr, ":", "-")+".log"), process.Answers(m.Client(), "http://"+addr+"/healthz"))
}

// lazyImage is a published image: what follows the registry in its name, with the digest
// of the manifest that containerd takes, and the bytes of its layers.
type lazyImage struct {
	name, tagged string
	size         int64
}

// publish publishes a Debian root, whose archive is made once.
func (s *lazySite) publish(f form, name, tar string) (image lazyImage, err error) {
	archive, err := s.b.write(name, root(tar))
	if err != nil {
		return image, err
	}
	p, _, err := s.b.publish(s.store, archive, f.args...)
	if err != nil {
		return image, err
	}
	for _, l := range p.Layers {
		image.size += l.Size
	}
	image.tagged = p.Root.Ciq + "/bench/" + name
	resp, err := s.publisher.Client().Get("http://" + s.publisher.IP + ":5000/v2/" + image.tagged + "/manifests/1")
	if err != nil {
		return image, err
	}
	defer resp.Body.Close()
	var index struct{ Manifests []struct{ Digest string } }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&index); err != nil || resp.StatusCode != http.StatusOK {
		return image, fmt.Errorf("%s: %s: %w", image.tagged, resp.Status, err)
	}
	image.name = image.tagged + ":1"
	if len(index.Manifests) > 0 {
		image.name = image.tagged + "@" + index.Manifests[0].Digest
	}
	image.tagged += ":1"
	return image, nil
}

// lazyFigure is a start: when the program has said something, and the bytes that have
// left the publisher until then.
type lazyFigure struct {
	wall  time.Duration
	bytes int64
}

// lazyResult are the figures of a form, by link.
type lazyResult struct {
	form       form
	size       int64
	full, lazy map[string][]lazyFigure
}

// compare starts an image on each link, whole and lazily in turns.
func (s *lazySite) compare(f form) (r lazyResult, err error) {
	v1, _, _, err := s.b.debianRoots()
	if err != nil {
		return r, err
	}
	image, err := s.publish(f, "root1", v1)
	if err != nil {
		return r, err
	}
	r = lazyResult{form: f, size: image.size, full: map[string][]lazyFigure{}, lazy: map[string][]lazyFigure{}}
	for round := range s.b.rounds {
		for _, l := range lazyLinks {
			s.b.say("%s, %s, round %d of %d", f.name, l.name, round+1, s.b.rounds)
			for snapshotter, to := range map[string]map[string][]lazyFigure{"overlayfs": r.full, "stargz": r.lazy} {
				figure, err := s.start(image, l, snapshotter)
				if err != nil {
					return r, fmt.Errorf("%s, %s: %w", l.name, snapshotter, err)
				}
				to[l.name] = append(to[l.name], figure)
			}
		}
	}
	return r, nil
}

// start starts a container on a node that has nothing yet.
func (s *lazySite) start(image lazyImage, l link, snapshotter string) (figure lazyFigure, err error) {
	if err := s.publisher.Limit(s.b.ctx, l.megabits); err != nil && l.megabits > 0 {
		return figure, err
	}
	from := s.publisher.IP + ":5000"
	if l.peers {
		if from, err = s.ownServer(); err != nil {
			return figure, err
		}
		defer func() {
			_ = s.own.Stop()
			s.own = nil
		}()
	}
	e, err := s.containerd()
	if err != nil {
		return figure, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	before, err := s.publisher.Sent()
	if err != nil {
		return figure, err
	}
	begin := time.Now()
	name := from + "/" + image.name
	if out, err := e.ctr("images", "pull", "--plain-http", "--snapshotter", snapshotter, name).CombinedOutput(); err != nil {
		return figure, fmt.Errorf("pulling %s: %w: %s", name, err, last(string(out), 500))
	}
	run := e.ctr("run", "--rm", "--snapshotter", snapshotter, name, fmt.Sprintf("bench-%d", time.Now().UnixNano()), "/usr/bin/python3", "-c", firstOutput)
	stdout, err := run.StdoutPipe()
	if err != nil {
		return figure, err
	}
	if err := run.Start(); err != nil {
		return figure, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	figure.wall = time.Since(begin)
	after, sentErr := s.publisher.Sent()
	figure.bytes = after - before
	if line != "ready\n" {
		err = fmt.Errorf("the container said %q: %w", line, errors.Join(err, errors.New(e.log())))
	}
	return figure, errors.Join(err, sentErr, run.Wait())
}

// ownServer starts the node's server with an empty store; the publisher is its peer.
func (s *lazySite) ownServer() (addr string, err error) {
	id := s.publisher.Command(s.b.ctx, s.b.binary, "id", "--json")
	id.Env = append(os.Environ(), ownStore(s.store)...)
	out, err := id.Output()
	if err != nil {
		return "", err
	}
	var said struct{ ID string }
	if err := json.Unmarshal(out, &said); err != nil {
		return "", err
	}
	if s.ownStore, err = s.b.fresh("lazy-node"); err != nil {
		return "", err
	}
	addr = "127.0.0.1:5000"
	s.own, err = s.serve(s.node, s.ownStore, addr, "--swarm-listen", "/ip4/0.0.0.0/tcp/4001", "--peers", "/ip4/"+s.publisher.IP+"/tcp/4001/p2p/"+said.ID)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(s.b.ctx, time.Minute)
	defer cancel()
	return addr, process.Await(ctx, func() error {
		peers := s.node.Command(ctx, s.b.binary, "peers", "--json")
		peers.Env = append(os.Environ(), ownStore(s.ownStore)...)
		out, err := peers.Output()
		if err == nil && !strings.Contains(string(out), said.ID) {
			err = errors.New("the publisher is not connected")
		}
		return err
	})
}
