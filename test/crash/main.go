// Command crash kills image2ipfs with SIGKILL at random moments, hundreds of
// times, and looks after each whether anything was lost.
//
//	go run ./test/crash -binary bin/image2ipfs -kills 300
//	go run ./test/crash -seed 1234            the same choices again
//
// Publications, pushes, removals, garbage collections and servers run side by side on
// one store. After each kill the store must open; what was reported published
// and not removed must be listed, verify, and come over HTTP byte for byte; a blob
// or manifest that was answered 201 must be there, and no open upload, while one that
// stays open over kills of others, and over collections, ends as it should;
// what was removed must not be listed; and gc must bring back the space of what
// was abandoned. The same is done on a small disk that fills up and, between
// kills, with the store made read-only, where this user may mount (root on
// Linux). All traffic stays on 127.0.0.1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/image2ipfs/image2ipfs/test/program"
)

func main() {
	binary := flag.String("binary", "bin/image2ipfs", "the program under test")
	kills := flag.Int("kills", 300, "processes to kill")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of all choices; the moments still depend on the machine")
	flag.Parse()
	fmt.Printf("crash: seed %d\n", *seed)
	if err := run(*binary, *kills, *seed); err != nil {
		fmt.Fprintf(os.Stderr, "crash: seed %d: %v\n", *seed, err)
		os.Exit(1)
	}
}

// run does two thirds of the kills on an ordinary disk and the rest on one that
// is too small.
func run(binary string, kills int, seed uint64) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "image2ipfs-crash-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	choose := rand.New(rand.NewPCG(seed, 0))
	at := func(store, log string) program.Program {
		return program.Program{Binary: binary, Store: store, Log: filepath.Join(dir, log)}
	}
	images, err := makeImages(at(filepath.Join(dir, "model"), "model.log"), dir, choose)
	if err != nil {
		return err
	}
	small, err := mountSmall(filepath.Join(dir, "small"))
	if err != nil {
		fmt.Printf("crash: LEFT OUT: a disk that fills up, a store that becomes read-only: %v\n", err)
		if os.Getenv("CI") == "true" {
			return errors.New("and nothing may be left out (CI is set)")
		}
		return try(ctx, at(filepath.Join(dir, "store"), "store.log"), images, choose, nil, kills)
	}
	defer func() { err = errors.Join(small.unmount(), err) }()
	few := kills / 3
	if err := try(ctx, at(filepath.Join(dir, "store"), "store.log"), images, choose, nil, kills-few); err != nil {
		return err
	}
	return try(ctx, at(filepath.Join(small.path, "store"), "small.log"), images, choose, small, few)
}

func try(ctx context.Context, p program.Program, images []image, choose *rand.Rand, d *disk, kills int) error {
	t, err := newTrial(p, images, choose, d)
	if err != nil {
		return err
	}
	return t.run(ctx, kills)
}
