//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/process"
	"github.com/image2ipfs/image2ipfs/test/program"
)

// lab is what all attacks share: the image that honest clients pull, and gateways.
type lab struct {
	options
	dir     string
	program program.Program
	image   string // repository that honest clients pull
	root    cid.Cid
	gateway *gateway
	cert    string
	key     string
}

// result is what came of one attack.
type result struct {
	pulls   int
	longest time.Duration
	peers   int           // pulls by honest peers
	meeting time.Duration // the longest until one of these had the layout
	peak    int64         // memory of the server, in bytes
	tcp     int64         // the system's for TCP
}

// target is a server under attack.
type target struct {
	*lab
	aim
	server *running
}

// raiseFiles allows this program thousands of connections.
func raiseFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

func (l *lab) prepare() (err error) {
	archive := filepath.Join(l.dir, "image.tar")
	content := make([]byte, 8<<20)
	x := uint32(1)
	for i := range content { // so that it stays as long as it is
		x = x*1664525 + 1013904223
		content[i] = byte(x >> 24)
	}
	if err := program.WriteArchive(archive, "honest:latest", content); err != nil {
		return err
	}
	out, err := l.program.Command("publish", "-q", "-r", "host", archive).Output()
	if err != nil {
		return err
	}
	_, l.image, _ = strings.Cut(strings.TrimSpace(string(out)), "/")
	l.image, _, _ = strings.Cut(l.image, ":")
	if l.root, _, err = ref.ParseRepository(l.image); err != nil {
		return err
	}
	if l.gateway, err = newGateway(l.scale); err != nil {
		return err
	}
	l.cert, l.key, err = writeCertificate(l.dir)
	return err
}

// try makes one attack while an honest client pulls.
func (l *lab) try(ctx context.Context, a attack) (r result, err error) {
	at, err := process.FreeAddr()
	if err != nil {
		return r, err
	}
	_, port, _ := strings.Cut(at, ":")
	push, err := process.FreeAddr()
	if err != nil {
		return r, err
	}
	args := []string{"--push", push, "--gateway", l.gateway.url, "--no-redirect", "--swarm-listen", "/ip4/127.0.0.1/tcp/" + port}
	server, err := l.serve(ctx, a.secure || a.all, args)
	if err != nil {
		return r, err
	}
	defer server.run.Kill()
	t := &target{lab: l, server: server, aim: aim{
		Addr: server.addr, Push: push, TLS: server.tls, Image: l.image, Root: l.root, Scale: l.scale,
		Costly: l.gateway.costly, Stalled: l.gateway.stalled, Layers: l.gateway.layers,
	}}
	if t.Blob, err = l.layer(ctx, server); err != nil {
		return r, err
	}
	if err := t.meet(ctx); err != nil {
		return r, err
	}
	during, cancel := context.WithTimeout(ctx, l.duration)
	defer cancel()
	var others sync.WaitGroup
	var asPeers result
	var peersErr, attackErr, tcpErr, moreErr error
	var tcp int64
	others.Go(func() { tcp, tcpErr = watchTCP(during) })
	others.Go(func() { asPeers, peersErr = t.honestPeers(during) })
	others.Go(func() { attackErr = t.attacked(during, a) })
	if a.during != nil {
		others.Go(func() { moreErr = a.during(t, during) })
	}
	r, err = l.honest(during, server)
	others.Wait()
	r.peers, r.meeting, r.tcp = asPeers.pulls, asPeers.longest, tcp
	err = errors.Join(err, peersErr, attackErr, tcpErr, moreErr)
	if r.meeting > l.meeting {
		err = errors.Join(err, fmt.Errorf("an honest peer had the layout after %s, at most %s are allowed", r.meeting.Round(time.Millisecond), l.meeting))
	}
	if a.check != nil {
		err = errors.Join(err, a.check(t, ctx))
	}
	peak, peakErr := server.run.PeakMemory()
	r.peak = peak
	switch {
	case peakErr != nil:
		err = errors.Join(err, peakErr)
	case peak > l.memory<<20:
		err = errors.Join(err, fmt.Errorf("%d MiB, at most %d are allowed", peak>>20, l.memory))
	}
	return r, err
}

// layer is the path of the last blob of the image.
func (l *lab) layer(ctx context.Context, s *running) (path string, err error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: anyCertificate(), DisableKeepAlives: true}}
	_, err = program.Pull(s.base(), l.image, "", func(url string, want digest.Digest) ([]byte, error) {
		path = strings.TrimPrefix(url, s.base())
		return program.Get(ctx, client, url, want)
	})
	return path, err
}

// honest pulls again and again until ctx is done. The attack has a moment to unfold.
func (l *lab) honest(ctx context.Context, s *running) (r result, err error) {
	client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext, TLSClientConfig: anyCertificate(), DisableKeepAlives: true}}
	for ctx.Err() == nil {
		began := time.Now()
		first := time.Duration(0)
		_, err := program.Pull(s.base(), l.image, "", func(url string, want digest.Digest) ([]byte, error) {
			data, err := program.Get(context.WithoutCancel(ctx), client, url, want)
			if first == 0 {
				first = time.Since(began)
			}
			return data, err
		})
		r.longest = max(r.longest, first)
		if err != nil {
			return r, fmt.Errorf("an honest pull failed after %s: %w", time.Since(began).Round(time.Millisecond), err)
		}
		r.pulls++
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	if r.longest > l.start {
		return r, fmt.Errorf("an honest pull began after %s, at most %s are allowed", r.longest.Round(time.Millisecond), l.start)
	}
	return r, nil
}

// running is a server under attack.
type running struct {
	addr string
	tls  bool // without it there is no HTTP/2
	run  *process.Process
}

func (s *running) base() string {
	if s.tls {
		return "https://" + s.addr
	}
	return "http://" + s.addr
}

func (l *lab) serve(ctx context.Context, secure bool, args []string) (*running, error) {
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	s := &running{addr: addr, tls: secure}
	if secure {
		args = append(args, "--tls-cert", l.cert, "--tls-key", l.key)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: anyCertificate(), DisableKeepAlives: true}}
	cmd := l.program.Command(append([]string{"serve", "--addr", addr}, args...)...)
	s.run, err = process.Start(ctx, cmd, l.program.Log, process.Answers(client, s.base()+"/healthz"))
	return s, err
}
