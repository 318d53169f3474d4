package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/test/program"
)

// publishImages publishes n images of one layer of 1 to 8 MiB of noise, and
// gives the paths of their repositories.
func publishImages(ctx context.Context, p program.Program, dir string, n int) ([]string, error) {
	var images []string
	for i := range n {
		path := filepath.Join(dir, "image.tar")
		noise := make([]byte, (1+i%8)<<20)
		_, _ = rand.Read(noise) // never fails
		if err := program.WriteArchive(path, fmt.Sprintf("load%d:1", i), noise); err != nil {
			return nil, err
		}
		out, err := p.Command("publish", "-q", "-r", "host", path).Output()
		if err != nil {
			return nil, fmt.Errorf("publishing image %d: %w", i, err)
		}
		images = append(images, strings.TrimPrefix(strings.TrimSpace(string(out)), "host/"))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return images, nil
}

// tally counts what happened.
type tally struct {
	pulls, blobs, bytes, retries, failures atomic.Int64
	first, tried                           atomic.Value // the first failure, and the first that a second try mended
}

// retry notes a transfer that is tried again.
func (t *tally) retry(err error) {
	t.retries.Add(1)
	t.tried.CompareAndSwap(nil, err.Error())
}

func (t *tally) fail(err error) {
	t.failures.Add(1)
	t.first.CompareAndSwap(nil, err.Error())
}

// pullAll has each client pull one image after the other until ctx ends.
func pullAll(ctx context.Context, clients int, images []string, addr string, t *tally) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, ResponseHeaderTimeout: 30 * time.Second}}
	fetch := func(url string, want digest.Digest) ([]byte, error) { return fetch(ctx, client, url, want, t) }
	var wait sync.WaitGroup
	for n := range clients {
		wait.Go(func() {
			for i := n; ctx.Err() == nil; i++ {
				blobs, err := program.Pull("http://"+addr, images[i%len(images)], "", fetch)
				if err != nil && (ctx.Err() == nil || errors.Is(err, program.ErrWrongBytes)) {
					t.fail(err)
				}
				t.blobs.Add(int64(blobs))
				if ctx.Err() == nil {
					t.pulls.Add(1)
				}
			}
		})
	}
	wait.Wait()
	client.CloseIdleConnections()
}

// fetch gets one content, with a second try when a transfer breaks, as engines
// do. Wrong bytes and answers that blame the server are never forgiven.
func fetch(ctx context.Context, c *http.Client, url string, want digest.Digest, t *tally) ([]byte, error) {
	var err error
	for range 2 {
		var data []byte
		if data, err = program.Get(ctx, c, url, want); err == nil {
			t.bytes.Add(int64(len(data)))
			return data, nil
		}
		status, answered := errors.AsType[*program.StatusError](err)
		if errors.Is(err, program.ErrWrongBytes) || answered && status.Code >= http.StatusInternalServerError {
			break
		}
		if ctx.Err() == nil {
			t.retry(err)
		}
	}
	return nil, err
}
