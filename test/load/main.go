// Command load has many clients pull many images through one server for
// minutes, while the gateways behind it are killed and started again. There is
// always a healthy gateway, so every answer must be right.
//
//	go run ./test/load -binary bin/image2ipfs -clients 200 -images 50 -for 5m
//
// It fails on a wrong byte, on a 5xx answer, on a broken transfer that a second
// try does not mend, and when the server's memory at the end is more than 1.2
// times that after the first minute. All traffic stays on 127.0.0.1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/test/program"
)

type options struct {
	binary   string
	clients  int
	images   int
	duration time.Duration
	redirect bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/image2ipfs", "the program under test")
	flag.IntVar(&o.clients, "clients", 200, "clients that pull at the same time")
	flag.IntVar(&o.images, "images", 50, "images to pull")
	flag.DurationVar(&o.duration, "for", 5*time.Minute, "how long")
	flag.BoolVar(&o.redirect, "redirect", false, "let the server redirect to the gateways in place of streaming from them")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "image2ipfs-load-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	far := program.Program{Binary: o.binary, Store: filepath.Join(dir, "far"), Log: filepath.Join(dir, "far.log")}
	images, err := publishImages(ctx, far, dir, o.images)
	if err != nil {
		return err
	}
	var gateways []*program.Server
	for range 2 {
		g, err := far.Serve(ctx)
		if err != nil {
			return err
		}
		defer g.Kill()
		gateways = append(gateways, g)
	}
	args := []string{"--gateway", "http://" + gateways[0].Addr, "--gateway", "http://" + gateways[1].Addr}
	if !o.redirect {
		args = append(args, "--no-redirect")
	}
	near := program.Program{Binary: o.binary, Store: filepath.Join(dir, "near"), Log: filepath.Join(dir, "near.log")}
	server, err := near.Serve(ctx, args...)
	if err != nil {
		return err
	}
	defer server.Kill()
	fmt.Printf("%d clients pull %d images from %s for %s\n", o.clients, o.images, server.Addr, o.duration)
	if err := measure(ctx, o, images, gateways, server); err != nil {
		return fmt.Errorf("%w\nthe server's log:\n%s", err, near.Complaints())
	}
	return nil
}

// measure runs clients and chaos side by side and judges what happened.
func measure(ctx context.Context, o options, images []string, gateways []*program.Server, server *program.Server) error {
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	var t tally
	ended := make(chan error, 1)
	go func() { ended <- alternate(ctx, gateways) }()
	memory := make(chan []int64, 1)
	go func() { memory <- sample(ctx, server) }()
	pullAll(ctx, o.clients, images, server.Addr, &t)
	chaos := <-ended
	first, last := compare(<-memory)
	fmt.Printf("%d pulls, %d blobs, %.1f GB, %d second tries, %d failures; gateways killed %d times\n",
		t.pulls.Load(), t.blobs.Load(), float64(t.bytes.Load())/1e9, t.retries.Load(), t.failures.Load(), kills.Load())
	if t.retries.Load() > 0 {
		fmt.Printf("the first second try was for: %v\n", t.tried.Load())
	}
	fmt.Printf("memory of the server, highest in 10 s: %d MiB after the first minute, %d MiB at the end (%.2f x)\n", first>>20, last>>20, float64(last)/float64(first))
	switch {
	case t.failures.Load() > 0:
		return errors.Join(chaos, fmt.Errorf("%d failures, the first: %v", t.failures.Load(), t.first.Load()))
	case t.pulls.Load() == 0:
		return errors.Join(chaos, errors.New("nothing was pulled"))
	case float64(last) > 1.2*float64(first):
		return errors.Join(chaos, errors.New("memory grew by more than a fifth"))
	}
	return chaos
}

// sample gives the server's memory for each second until ctx ends.
func sample(ctx context.Context, server *program.Server) (bytes []int64) {
	for sleep(ctx, time.Second) {
		bytes = append(bytes, server.Memory())
	}
	return bytes
}

// compare gives the highest of ten samples after the first minute, or a third of
// a shorter run, and of the last ten: garbage comes and goes in between.
func compare(samples []int64) (early, late int64) {
	if len(samples) == 0 {
		return 0, 0
	}
	begin := min(60, len(samples)/3)
	early = slices.Max(samples[begin:min(begin+10, len(samples))])
	return early, slices.Max(samples[max(0, len(samples)-10):])
}

var kills atomic.Int64

// alternate kills one gateway after the other and starts it again; one always
// runs, and has run for long enough to be found again.
func alternate(ctx context.Context, gateways []*program.Server) error {
	const pause = 8 * time.Second
	for i := 0; ; i = (i + 1) % len(gateways) {
		if !sleep(ctx, pause) {
			return nil
		}
		gateways[i].Kill()
		kills.Add(1)
		sleep(ctx, pause/4)
		if err := gateways[i].Start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
}

// sleep is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
