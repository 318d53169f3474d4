//go:build linux

// Command p2p measures how images spread between machines. The machines are
// network namespaces on one host, joined by a bridge; the publisher's uplink is
// slowed down where a table says so. What one would use instead is Debian's
// docker-registry on the publisher, behind the same link.
//
//	go run ./test/p2p [flags]
//
// Both sides take turns in every round and are asked by the same client. What
// left the publisher is read from its network interface.
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
	roots  string // Debian roots, made by test/bench/roots.sh
	binary string // image2ipfs, as released
	rounds int
	chart  string // file for the picture
	growth []int  // numbers of machines in it
	out    report
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "p2p:", err)
		stop()
		os.Exit(1)
	}
}

// sections are what can be measured, in their order.
var sections = []struct {
	name string
	run  func(b *bench, s *site) error
}{
	{"one", (*bench).one},
	{"many", (*bench).many},
	{"five", (*bench).five},
	{"staggered", (*bench).staggered},
	{"small", (*bench).small},
	{"killed", (*bench).killed},
	{"update", (*bench).update},
	{"resized", (*bench).resized},
	{"relay", (*bench).relay},
	{"growth", (*bench).grow},
}

func run(ctx context.Context) error {
	b := &bench{ctx: ctx}
	flag.StringVar(&b.dir, "dir", filepath.Join(os.TempDir(), "image2ipfs-bench"), "work directory, shared with test/bench")
	flag.StringVar(&b.roots, "roots", "", "directory of v1.tar and v2.tar (default: made by test/bench/roots.sh in the work directory)")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds of what is repeated")
	flag.StringVar(&b.chart, "chart", "", "file for the picture of how time grows, SVG (default: none)")
	only := flag.String("only", "", "sections to run, by comma: one,many,five,staggered,small,killed,update,resized,relay,growth")
	sizes := flag.String("machines", "1,2,4,8,16,32,64", "numbers of machines that pull at once in the picture")
	output := flag.String("o", "", "file for the results (default: standard output)")
	flag.Parse()
	for text := range strings.SplitSeq(*sizes, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n < 1 || n > 200 {
			return fmt.Errorf("-machines %q: want numbers from 1 to 200", *sizes)
		}
		b.growth = append(b.growth, n)
	}
	if err := b.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(b.path("p2p")) // the stores of all machines
	var failed error
	for _, section := range sections {
		if *only != "" && !strings.Contains(*only, section.name) {
			continue
		}
		if failed = b.section(section.name, section.run); failed != nil {
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

// maxSection is how long one section may take.
const maxSection = 15 * time.Minute

// section measures on a network of its own.
func (b *bench) section(name string, measure func(b *bench, s *site) error) (err error) {
	outer := b.ctx
	ctx, cancel := context.WithTimeout(outer, maxSection)
	defer func() { cancel(); b.ctx = outer }()
	b.ctx = ctx
	b.say("%s", name)
	s, err := b.newSite()
	if err == nil {
		err = errors.Join(measure(b, s), s.close())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// prepare builds the binary.
func (b *bench) prepare() error {
	if err := os.MkdirAll(b.path("in"), 0o755); err != nil {
		return err
	}
	b.binary = b.path("image2ipfs-p2p")
	cmd := b.local("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, "./cmd/image2ipfs")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	_, err := output(cmd)
	return err
}

func (b *bench) path(name ...string) string {
	return filepath.Join(append([]string{b.dir}, name...)...)
}

// fresh gives an empty directory of that name.
func (b *bench) fresh(name string) (string, error) {
	dir := b.path("p2p", name)
	return dir, errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "p2p: "+format+"\n", args...)
}
