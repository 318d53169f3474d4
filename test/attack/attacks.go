//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// attack is one thing that strangers do.
type attack struct {
	name   string
	all    bool // all attacks
	secure bool // it needs a server with TLS
	run    func(a *aim, ctx context.Context)
	during func(t *target, ctx context.Context) error // more that honest ones do meanwhile
	check  func(t *target, ctx context.Context) error // what is to be so at the end
}

var attacks = []attack{
	{name: "indices that are costly to decode", run: (*aim).costly},
	{name: "800 manifests that stall", run: (*aim).stalledManifests},
	{name: "HTTP/2: 160 connections of 250 streams", secure: true, run: (*aim).streams},
	{name: "250 slow readers of blobs from a gateway", run: (*aim).slowBlobs},
	{name: "4,200 slow readers of what is here", run: (*aim).slowReaders},
	{name: "4,200 connections that send nothing", run: (*aim).silent},
	{name: "9 peers whose requests never come whole", run: (*aim).bodies},
	{name: "9 peers that take nothing of what they ask for", run: (*aim).takeNothing},
	{name: "60 peers that want blocks by bitswap and take none", run: (*aim).wantAndTakeNothing, during: (*target).honestBitswap},
	{name: "60 peers with silent streams", run: (*aim).silentStreams},
	{name: "60 peers that ask for states", run: (*aim).states},
	{name: "60 peers that send garbage", run: (*aim).garbage},
	{name: "60 peers that announce messages of 4 MiB", run: (*aim).announced},
	{name: "600 uploads of a few bytes a second", run: (*aim).slowUploads, during: (*target).honestPushes},
	{name: "uploads that are begun and left, by 64 at once", run: (*aim).leftUploads, during: (*target).honestPushes},
	{name: "64 that push indices that are costly to decode", run: (*aim).largeManifests, during: (*target).honestPushes},
	{name: "another host's name (DNS rebinding)", run: (*aim).rebinding, check: (*target).misdirected},
}

// many runs n of one kind at once, each again and again until ctx is done.
func (t *aim) many(ctx context.Context, n int, one func(ctx context.Context, i int) error) {
	var all sync.WaitGroup
	for i := range max(1, n/t.Scale) {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := one(ctx, i); err != nil {
					select {
					case <-ctx.Done():
					case <-time.After(200 * time.Millisecond): // refused: as it should be
					}
				}
			}
		})
	}
	all.Wait()
}

// ask asks for a path, and takes the answer as it comes.
func (t *aim) ask(ctx context.Context, path string) error {
	c, err := t.get(ctx, path)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	n, err := io.Copy(io.Discard, io.LimitReader(c, 100))
	if n == 0 && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (t *aim) costly(ctx context.Context) {
	t.many(ctx, len(t.Costly)*t.Scale, func(ctx context.Context, i int) error { return t.ask(ctx, t.Costly[i]) })
}

func (t *aim) stalledManifests(ctx context.Context) {
	t.many(ctx, len(t.Stalled)*t.Scale, func(ctx context.Context, i int) error { return t.ask(ctx, t.Stalled[i]) })
}

// slowly reads an answer, a few bytes in each second.
func (t *aim) slowly(ctx context.Context, path string) error {
	c, err := t.get(ctx, path)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	buf := make([]byte, 2048)
	for {
		if _, err := c.Read(buf); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (t *aim) slowBlobs(ctx context.Context) {
	t.many(ctx, 250, func(ctx context.Context, i int) error {
		return t.slowly(ctx, t.Layers[i%len(t.Layers)])
	})
}

func (t *aim) slowReaders(ctx context.Context) {
	t.many(ctx, 4200, func(ctx context.Context, _ int) error { return t.slowly(ctx, t.Blob) })
}

func (t *aim) silent(ctx context.Context) {
	t.many(ctx, 4200, func(ctx context.Context, _ int) error {
		c, err := t.connect(ctx, t.Addr)
		if err != nil {
			return err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		_, err = c.Read(make([]byte, 1))
		return err
	})
}

// streams opens as many as it may on each connection and takes no answer.
func (t *aim) streams(ctx context.Context) {
	t.many(ctx, 160, func(ctx context.Context, _ int) error {
		c, err := t.dial(ctx, "h2")
		if err != nil {
			return err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			return err
		}
		f := http2.NewFramer(c, c)
		if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
			return err
		}
		for i := range 250 {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: t.header(), EndStream: true, EndHeaders: true}); err != nil {
				return err
			}
		}
		_, err = io.Copy(io.Discard, c)
		return errors.Join(err, io.ErrUnexpectedEOF)
	})
}

// header is that of a request for what the server has, each by itself.
func (t *aim) header() []byte {
	var block headerBlock
	e := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/v2/" + t.Image + "/manifests/latest"}, {":authority", "localhost"}} {
		_ = e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1], Sensitive: true}) // into memory
	}
	return block
}

type headerBlock []byte

func (b *headerBlock) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func (t *aim) rebinding(ctx context.Context) {
	t.many(ctx, 8, func(ctx context.Context, _ int) error {
		_, err := t.status(ctx, "evil.test", "/v2/"+t.Image+"/manifests/latest")
		return err
	})
}

func (t *target) misdirected(ctx context.Context) error {
	for host, want := range map[string]int{"evil.test": http.StatusMisdirectedRequest, "": http.StatusOK} {
		got, err := t.status(ctx, host, "/v2/"+t.Image+"/manifests/latest")
		if err != nil || got != want {
			return fmt.Errorf("host %q: status %d, expected %d: %w", host, got, want, err)
		}
	}
	return nil
}
