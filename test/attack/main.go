//go:build linux

// Command attack does to a server what strangers can, one attack after the other
// and all at once, each to a server of its own on the loopback, while an honest
// client pulls an image of the server's store from another address.
//
//	go run ./test/attack -binary bin/image2ipfs -for 20s
//
// It prints a table: attack, honest pulls, the longest that one of them waited for
// its first byte, the same of honest peers, which come anew each time, and of these
// until they had the layout, the most memory that the server had (VmHWM), the most
// that the system had for TCP, verdict. It fails when an honest pull fails, begins later
// than -start or -peer-start, the server takes more than -memory MiB, or the system half
// of what it has for TCP. It needs Linux: attackers have the address
// 127.0.0.2, and are a process of the lowest priority, since others' machines do not
// take this one's processors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"text/tabwriter"
	"time"

	"github.com/image2ipfs/image2ipfs/test/program"
)

type options struct {
	binary   string
	duration time.Duration
	start    time.Duration
	meeting  time.Duration
	memory   int64
	scale    int
	only     *regexp.Regexp
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/image2ipfs", "the program under test")
	flag.DurationVar(&o.duration, "for", 20*time.Second, "how long each attack lasts")
	flag.DurationVar(&o.start, "start", time.Second, "the longest that an honest pull may wait for its first byte")
	flag.DurationVar(&o.meeting, "peer-start", 5*time.Second, "the longest that an honest peer that comes may take to connect and have the layout")
	flag.Int64Var(&o.memory, "memory", 512, "the most memory that the server may take, in MiB")
	flag.IntVar(&o.scale, "scale", 1, "divide the number of attackers by this")
	only := flag.String("run", "", "only attacks whose names match this regular expression")
	as := flag.String("as", "", "be the attackers of this name, on what standard input says: what this program starts")
	flag.Parse()
	o.only = regexp.MustCompile(*only)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	todo := func() error { return run(ctx, o) }
	if *as != "" {
		todo = func() error { return errors.Join(raiseFiles(), attackAs(ctx, *as)) }
	}
	if err := todo(); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "image2ipfs-attack-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := raiseFiles(); err != nil {
		return err
	}
	p := program.Program{Binary: o.binary, Store: filepath.Join(dir, "store"), Log: filepath.Join(dir, "server.log")}
	lab := &lab{options: o, dir: dir, program: p}
	if err := lab.prepare(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "attack\thonest pulls\tlongest start\tby peers\tlongest start\tpeak memory\tpeak for TCP\tverdict")
	var failed error
	for _, a := range append(attacks, attack{name: "all at once", all: true}) {
		if !o.only.MatchString(a.name) {
			continue
		}
		r, err := lab.try(ctx, a)
		verdict := "held"
		if err != nil {
			verdict = "FAILED: " + err.Error()
			failed = errors.Join(failed, fmt.Errorf("%s: %w", a.name, err))
		}
		fmt.Fprintf(table, "%s\t%d\t%d ms\t%d\t%d ms\t%d MiB\t%d MiB\t%s\n", a.name, r.pulls, r.longest.Milliseconds(), r.peers, r.meeting.Milliseconds(), r.peak>>20, r.tcp>>20, verdict)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed, table.Flush(), ctx.Err())
}
