// Command bench measures image2ipfs beside what one would use instead: skopeo
// and Debian's docker-registry, Kubo's ipfs add, nginx; and beside the floors
// openssl, gzip, pigz and a plain copy.
//
//	go run ./test/bench [flags]                           measure
//	go run ./test/bench compare REV1 REV2 [PACKAGE…]      the Go benchmarks of two commits, by benchstat
//
// Contenders take turns in every round, so that what else the machine does
// meets all of them; medians of the rounds are compared, and ratios count.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	ctx    context.Context
	dir    string // everything lies here
	roots  string // Debian roots, made by roots.sh
	binary string // image2ipfs, as released
	kubo   string // Kubo's ipfs; empty when it was not found
	rounds int
	limit  time.Duration // of one measurement
	only   string
	names  string // of images to publish; empty for all
	chart  string // file for the picture of lazy pulls; empty for none
	brief  string // file for their short table; empty for none

	docker, dockerPacked, podman string // sockets of engines to publish from; empty for none

	out  *report
	dirs int // lasting ones so far
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "compare" {
		err = compare(ctx, os.Args[2:])
	} else {
		err = run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b := &bench{ctx: ctx, out: newReport()}
	flag.StringVar(&b.dir, "dir", filepath.Join(os.TempDir(), "image2ipfs-bench"), "work directory, on the disk to be measured")
	flag.StringVar(&b.roots, "roots", "", "directory of v1.tar, v2.tar and v1m.tar (default: made by roots.sh in the work directory)")
	flag.StringVar(&b.kubo, "kubo", "", "Kubo's ipfs binary (default: that of hack/engines.sh tools, else of PATH)")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds; large images get fewer")
	flag.DurationVar(&b.limit, "limit", time.Minute, "longest time of one measurement; who takes longer runs no more")
	flag.StringVar(&b.only, "only", "", "sections to run, by comma: publish,delta,engines,index,members,serve,push,pull,start; and lazy, which runs only when it is named")
	flag.StringVar(&b.names, "images", "", "images to publish, by comma: debian,giant,layers,files")
	flag.StringVar(&b.docker, "docker", "", "host of a dockerd with the classic store, such as unix:///var/run/docker.sock")
	flag.StringVar(&b.dockerPacked, "docker-containerd", "", "host of a dockerd with the containerd store")
	flag.StringVar(&b.podman, "podman", "", "host of a podman's service")
	flag.StringVar(&b.chart, "chart", "", "file for the picture of lazy pulls, SVG")
	flag.StringVar(&b.brief, "table", "", "file for the short table of lazy pulls, Markdown")
	output := flag.String("o", "", "file for the results (default: standard output)")
	flag.Parse()
	if err := b.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(b.path("run"))
	var failed error
	for _, section := range []struct {
		name string
		run  func() error
	}{{"serve", b.serving}, {"push", b.pushing}, {"pull", b.pulling}, {"start", b.starting}, {"delta", b.deltas}, {"engines", b.engines}, {"index", b.indexes}, {"members", b.members}, {"publish", b.publishing}, {"lazy", b.lazily}} {
		if b.only == "" && section.name == "lazy" || b.only != "" && !strings.Contains(b.only, section.name) {
			continue
		}
		if failed = section.run(); failed != nil {
			failed = fmt.Errorf("%s: %w", section.name, failed)
			break // and keep what was measured
		}
	}
	text := b.out.markdown(b)
	if *output == "" {
		fmt.Print(text)
		return failed
	}
	return errors.Join(failed, os.WriteFile(*output, []byte(text), 0o644))
}

// prepare builds the binary and finds tools.
func (b *bench) prepare() error {
	if err := os.MkdirAll(b.path("in"), 0o755); err != nil {
		return err
	}
	if b.kubo == "" {
		b.kubo = firstExecutable(filepath.Join(os.Getenv("IMAGE2IPFS_E2E"), "bin", "ipfs"), filepath.Join(os.TempDir(), "image2ipfs-e2e", "bin", "ipfs"), "ipfs")
	}
	b.binary = b.path("image2ipfs")
	return b.build(b.binary)
}

// build builds image2ipfs as it is released, with more flags.
func (b *bench) build(binary string, flags ...string) error {
	args := append([]string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary}, flags...)
	build := b.command(append(args, "./cmd/image2ipfs")...).env("CGO_ENABLED=0")
	build.limit = time.Hour // nothing may be cached
	_, err := build.run()
	return err
}

func (b *bench) path(name ...string) string {
	return filepath.Join(append([]string{b.dir}, name...)...)
}

// fresh gives an empty directory of that name.
func (b *bench) fresh(name string) (string, error) {
	dir := b.path("run", name)
	return dir, errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
}

// lasting gives an empty directory that stays until the end of the run: ext4
// is slow to make files for minutes after many were removed, which contenders
// of many files would pay for.
func (b *bench) lasting(name string) (string, error) {
	b.dirs++
	return b.fresh(fmt.Sprintf("%s-%d", name, b.dirs))
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
