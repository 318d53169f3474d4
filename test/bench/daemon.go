package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// daemon is a server that runs.
type daemon struct{ *process.Process }

// daemon starts a program and waits until url answers.
func (c *command) daemon(url string) (*daemon, error) {
	log, err := os.CreateTemp("", "bench-log-")
	if err != nil {
		return nil, err
	}
	if err := log.Close(); err != nil {
		return nil, err
	}
	p, err := process.Start(c.ctx, c.prepare(c.ctx), log.Name(), func(ctx context.Context) error {
		if !answers(ctx, url) {
			return errors.New(url + " does not answer")
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, os.Remove(log.Name()))
	}
	return &daemon{p}, nil
}

// stop ends the server and tells what it cost in all.
func (d *daemon) stop() cost {
	_ = d.Stop() // how it ends is no part of what is measured
	os.Remove(d.Log)
	return spent(d.Cmd.ProcessState, d.Begun)
}

// answers tells whether a URL gives anything but an error of the server, or,
// for unix:PATH, whether somebody listens there.
func answers(ctx context.Context, url string) bool {
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		return process.Listens(&net.Dialer{}, "unix", path)(ctx) == nil
	}
	method := http.MethodGet
	if strings.Contains(url, "/api/v0/") {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode < 500
}
