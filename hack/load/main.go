// Command load has many clients pull many images through one server for
// minutes, while the gateways behind it are killed and started again. There is
// always a healthy gateway, so every answer must be right.
//
//	go run ./hack/load -binary bin/image2ipfs -clients 200 -images 50 -for 5m
//
// It fails on a wrong byte, on a 5xx answer or a broken transfer that a second
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
	"time"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "image2ipfs-load-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	far := program{binary: o.binary, store: filepath.Join(dir, "far")}
	images, err := publishImages(ctx, far, dir, o.images)
	if err != nil {
		return err
	}
	gateways := []*process{}
	for range 2 {
		g, err := far.serve(ctx, "")
		if err != nil {
			return err
		}
		defer g.stop()
		gateways = append(gateways, g)
	}
	args := []string{"--gateway", "http://" + gateways[0].addr, "--gateway", "http://" + gateways[1].addr}
	if !o.redirect {
		args = append(args, "--no-redirect")
	}
	near := program{binary: o.binary, store: filepath.Join(dir, "near")}
	server, err := near.serve(ctx, "", args...)
	if err != nil {
		return err
	}
	defer server.stop()
	fmt.Printf("%d clients pull %d images from %s for %s\n", o.clients, o.images, server.addr, o.duration)
	if err := measure(ctx, o, images, gateways, server); err != nil {
		return fmt.Errorf("%w\nthe server's log:\n%s", err, near.complaints())
	}
	return nil
}

// measure runs clients and chaos side by side and judges what happened.
func measure(ctx context.Context, o options, images []image, gateways []*process, server *process) error {
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	var t tally
	ended := make(chan error, 1)
	go func() { ended <- alternate(ctx, gateways) }()
	early := make(chan int64, 1)
	time.AfterFunc(min(time.Minute, o.duration/3), func() { early <- server.memory() })
	pullAll(ctx, o.clients, images, server.addr, &t)
	chaos := <-ended
	first, last := <-early, server.memory()
	fmt.Printf("%d pulls, %d blobs, %.1f GB, %d second tries, %d failures; gateways killed %d times\n",
		t.pulls.Load(), t.blobs.Load(), float64(t.bytes.Load())/1e9, t.retries.Load(), t.failures.Load(), kills.Load())
	if t.retries.Load() > 0 {
		fmt.Printf("the first second try was for: %v\n", t.tried.Load())
	}
	fmt.Printf("memory of the server: %d MiB early, %d MiB at the end (%.2f x)\n", first>>20, last>>20, float64(last)/float64(first))
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
